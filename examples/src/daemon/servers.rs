//! What is told of virtual and real servers.

use std::net::SocketAddr;

use vrrp_ipvs::Protocol;
use vrrp_ipvs::director::DirectorEvent;

use super::config::{About, ServerNotify};
use super::engine::Engine;
use super::log;
use super::notify::Object;

impl Engine {
    /// What the director says.
    pub(super) fn take_director(&mut self, events: Vec<DirectorEvent>) {
        let mut quorum = false;
        for event in events {
            log::director(&event);
            match event {
                DirectorEvent::ServerUp { virtual_server, server } => self.tell_server(&virtual_server, server, true),
                DirectorEvent::ServerDown { virtual_server, server, .. } => {
                    self.tell_server(&virtual_server, server, false);
                }
                DirectorEvent::QuorumUp { virtual_server, .. } => {
                    quorum = true;
                    self.tell_quorum(&virtual_server, true);
                }
                DirectorEvent::QuorumDown { virtual_server, .. } => {
                    quorum = true;
                    self.tell_quorum(&virtual_server, false);
                }
                _ => {}
            }
        }
        if quorum {
            self.watch.touch();
        }
    }

    fn tell_server(&mut self, virtual_server: &str, server: SocketAddr, up: bool) {
        let notify = self.server_notify(virtual_server);
        let real = notify.real_servers.iter().find(|it| it.server == server);
        let word = if up { "UP" } else { "DOWN" };
        let command = real.and_then(|real| if up { real.up.as_ref() } else { real.down.as_ref() });
        if let Some(command) = command {
            self.notifier.push(&Object::VirtualServer(virtual_server.to_owned()), command, Vec::new());
        }
        let place = format!("[{}]:{}:{}", server.ip(), self.protocol(virtual_server), server.port());
        self.write(About::Servers, &format!("RS {place} {} {word}", notify.label));
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
        self.write(About::Servers, &format!("VS {} {word}", notify.label));
        if notify.mail {
            let body = format!("Virtual server {virtual_server} has {words} its quorum.\n");
            self.mail(&format!("Virtualserver {} - {word}", notify.label), body);
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

    fn protocol(&self, virtual_server: &str) -> &'static str {
        let all = self.config.director.iter().flat_map(|director| &director.config.virtual_servers);
        match all.into_iter().find(|server| server.name == virtual_server).map(|server| server.protocol) {
            Some(Protocol::Udp) => "udp",
            Some(Protocol::Sctp) => "sctp",
            _ => "tcp",
        }
    }
}
