//! What is told of virtual and real servers.

use std::net::SocketAddr;

use vrrp_ipvs::Protocol;
use vrrp_ipvs::director::DirectorEvent;
use vrrp_ipvs::service::FrontendRange;

use super::config::{About, Config, ServerNotify};
use super::engine::Engine;
use super::fifo::OpenFifo;
use super::log;
use super::mail::Mailer;
use super::notify::{Notifier, Object};
use super::tell;

impl Engine {
    /// What the director says.
    pub(super) fn take_director(&mut self, events: Vec<DirectorEvent>) {
        let quorum =
            |event: &DirectorEvent| matches!(event, DirectorEvent::QuorumUp { .. } | DirectorEvent::QuorumDown { .. });
        let changed = events.iter().any(quorum);
        self.listeners().tell(&events);
        if changed {
            self.watch.touch();
        }
    }
}

/// Those who are told.
pub(super) struct Listeners<'e> {
    pub(super) config: &'e Config,
    pub(super) notifier: &'e mut Notifier,
    pub(super) fifos: &'e mut [OpenFifo],
    pub(super) mailer: Option<&'e mut Mailer>,
}

impl Listeners<'_> {
    /// What the director says.
    pub(super) fn tell(&mut self, events: &[DirectorEvent]) {
        for event in events {
            log::director(event);
            match event {
                DirectorEvent::ServerUp { virtual_server, server } => self.tell_server(virtual_server, *server, true),
                DirectorEvent::ServerDown { virtual_server, server, .. } => {
                    self.tell_server(virtual_server, *server, false);
                }
                DirectorEvent::QuorumUp { virtual_server, .. } => self.tell_quorum(virtual_server, true),
                DirectorEvent::QuorumDown { virtual_server, .. } => self.tell_quorum(virtual_server, false),
                _ => {}
            }
        }
    }

    pub(super) fn tell_server(&mut self, virtual_server: &str, server: SocketAddr, up: bool) {
        let notify = self.server_notify(virtual_server);
        let real = notify.real_servers.iter().find(|it| it.server == server);
        let word = if up { "UP" } else { "DOWN" };
        let command = real.and_then(|real| if up { real.up.as_ref() } else { real.down.as_ref() });
        if let Some(command) = command {
            self.notifier.push(&Object::VirtualServer(virtual_server.to_owned()), command, Vec::new());
        }
        let place = format!("[{}]:{}:{}", server.ip(), self.protocol(virtual_server), server.port());
        self.write(&format!("RS {place} {} {word}", notify.label));
        if real.is_some_and(|real| real.mail) {
            let body = format!("Real server {place} of virtual server {virtual_server} is {word}.\n");
            self.mail(&format!("Realserver {place} of virtual server {} - {word}", notify.label), body);
        }
    }

    fn tell_quorum(&mut self, virtual_server: &str, up: bool) {
        let notify = self.server_notify(virtual_server);
        let (word, words) = if up { ("UP", "gained") } else { ("DOWN", "lost") };
        let command = if up { &notify.quorum_up } else { &notify.quorum_down };
        if let Some(command) = command {
            self.notifier.push(&Object::VirtualServer(virtual_server.to_owned()), command, Vec::new());
        }
        self.write(&format!("VS {} {word}", notify.label));
        if notify.mail {
            let body = format!("Virtual server {virtual_server} has {words} its quorum.\n");
            self.mail(&format!("Virtualserver {} - {word}", notify.label), body);
        }
    }

    fn write(&mut self, line: &str) {
        self.fifos.iter_mut().for_each(|fifo| fifo.tell(About::Servers, line));
    }

    fn mail(&mut self, what: &str, body: String) {
        if let Some(mailer) = &mut self.mailer {
            mailer.send(format!("[{}] {what}", tell::host(self.config)), body);
        }
    }

    fn server_notify(&self, virtual_server: &str) -> ServerNotify {
        let all = self.config.director.iter().flat_map(|director| &director.notify);
        let found = all.into_iter().find(|notify| notify.virtual_server == virtual_server).cloned();
        let mut notify = found.unwrap_or_default();
        if notify.label.is_empty() {
            virtual_server.clone_into(&mut notify.label);
        }
        notify
    }

    /// As keepalived calls it: what a mark balances has none.
    fn protocol(&self, virtual_server: &str) -> &'static str {
        let mut all = self.config.director.iter().flat_map(|director| &director.config.virtual_servers);
        let server = all.find(|server| server.name == virtual_server);
        if server.is_some_and(|server| matches!(server.frontends.0.as_slice(), [FrontendRange::Mark(..)])) {
            return "none";
        }
        match server.map(|server| server.protocol) {
            Some(Protocol::Udp) => "udp",
            Some(Protocol::Sctp) => "sctp",
            _ => "tcp",
        }
    }
}
