//! The control socket and the metrics of a daemon: how everything is, and what operators may have done.

use std::cell::RefCell;

use anyhow::Context;
use vrrp_net::DriverEvent;
use vrrp_net::vrrp_core::{After, Priority, RouterId};

use super::engine::Engine;
use crate::control::{Control, Event, Request, Response, Router, Status, VirtualServer};

impl Engine {
    /// Logs how everything is.
    pub(super) fn describe(&self) {
        match serde_json::to_string(&self.status()) {
            Ok(status) => tracing::info!("{status}"),
            Err(error) => tracing::error!("cannot describe the status: {error}"),
        }
    }

    /// Opens what the configuration asks for.
    pub(super) fn open_control(&self) -> anyhow::Result<Control> {
        let (socket, metrics) = (self.config.control.as_deref(), self.config.metrics);
        Ok(Control::open(socket, metrics)?)
    }

    /// Answers those who ask.
    pub(super) fn serve_control(&mut self) -> anyhow::Result<()> {
        let mut control = std::mem::take(&mut self.control);
        let engine = RefCell::new(self);
        let served = control.process(|| engine.borrow().status(), |request| engine.borrow_mut().handle(&request));
        engine.into_inner().control = control;
        served.context("the control socket")
    }

    /// Tells those who watch.
    pub(super) fn tell_watchers(&mut self, router: Option<String>, event: &DriverEvent) {
        let role = match event {
            DriverEvent::Transition { transition, .. } => Some(transition.to),
            _ => None,
        };
        self.control.tell(&Event { router, role, text: event.to_string() });
    }

    /// What everything is doing now.
    pub(super) fn status(&self) -> Status {
        let routers = self.config.routers.iter().filter_map(|router| {
            let running = self.routers.get(&router.name)?;
            let status = self.driver.router_status(running.id)?;
            Some(Router { name: router.name.clone(), paused: running.paused, status })
        });
        let servers = self.config.director.iter().flat_map(|config| &config.config.virtual_servers);
        let balanced = self.director.iter().flat_map(|director| director.status().virtual_servers);
        let driver = self.driver.status();
        Status {
            program: self.config.program.clone(),
            process: std::process::id(),
            up_seconds: self.began.elapsed().as_secs(),
            guarded: driver.guarded,
            routers: routers.collect(),
            discards: driver.discards,
            tracked: self.watch.status(),
            virtual_servers: servers
                .zip(balanced)
                .map(|(config, status)| VirtualServer::new(config, &status))
                .collect(),
        }
    }

    fn handle(&mut self, request: &Request) -> Response {
        match self.carry_out(request) {
            Ok(()) => Response::Done,
            Err(error) => Response::refused(format_args!("{error:#}")),
        }
    }

    fn carry_out(&mut self, request: &Request) -> anyhow::Result<()> {
        tracing::info!("asked for {request:?}");
        match request {
            Request::HandOver { router } => {
                let id = self.named(router)?;
                self.driver.hand_over(id, After::Stay)?;
            }
            Request::SetPriority { router, priority } => {
                let (id, priority) = (self.named(router)?, Priority::try_from(u64::from(*priority))?);
                self.driver.set_priority(id, priority)?;
            }
            Request::Pause { router } => {
                let id = self.named(router)?;
                self.driver.hand_over(id, After::Leave)?;
                self.set_paused(router, true);
            }
            Request::Resume { router } => {
                let id = self.named(router)?;
                self.driver.rejoin(id)?;
                self.set_paused(router, false);
            }
            Request::Reload => self.reload_wanted = true,
            other => anyhow::bail!("{other:?} cannot be done here"),
        }
        Ok(())
    }

    fn set_paused(&mut self, name: &str, paused: bool) {
        if let Some(running) = self.routers.get_mut(name) {
            running.paused = paused;
        }
    }

    fn named(&self, name: &str) -> anyhow::Result<RouterId> {
        let have = || self.routers.keys().cloned().collect::<Vec<_>>().join(", ");
        let running = self.routers.get(name);
        Ok(running.with_context(|| format!("no virtual router {name:?} (have: {})", have()))?.id)
    }
}
