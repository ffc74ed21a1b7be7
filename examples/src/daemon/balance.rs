//! The director in a daemon: begun, told of roles, ended.

use std::time::{Duration, Instant};

use vrrp_ipvs::director::Director;
use vrrp_ipvs::service::Finding;
use vrrp_ipvs::{Ipvs, ServiceId};
use vrrp_net::vrrp_core::Role;

use super::caretaker::Caretaker;
use super::config::{Config, DirectorConfig};
use super::engine::Engine;
use super::servers::Listeners;

/// How often a kernel is asked for the IPVS that it did not have.
const AGAIN: Duration = Duration::from_secs(10);

impl Engine {
    /// Begins to balance, if there is something to be balanced. If the kernel has no IPVS, or refuses it, virtual routers go
    /// on without, and it is tried again.
    ///
    /// # Errors
    /// A director that makes no sense; without virtual routers also a kernel without IPVS.
    pub(super) fn start_director(&mut self) -> anyhow::Result<()> {
        let before = self.balances_again.take();
        let Some(config) = self.config.director.clone().filter(DirectorConfig::needs_ipvs) else { return Ok(()) };
        // What makes no sense is not to come out later.
        config.config.validate()?;
        let (ipvs, left) = match open(&config) {
            Ok(opened) => opened,
            Err(error) if self.config.routers.is_empty() => return Err(error.into()),
            Err(error) => {
                self.balances_again = Some(Instant::now() + AGAIN);
                match before {
                    Some(_) => tracing::debug!("nothing is balanced: {error}"),
                    None => tracing::error!(
                        "nothing is balanced, and virtual routers go on without: {error}; this is tried again every {AGAIN:?}"
                    ),
                }
                return Ok(());
            }
        };
        let mut director = Director::new(ipvs, config.config.clone())?;
        director.take_over(left)?;
        if before.is_some() {
            tracing::info!("the kernel has IPVS now: what is configured is balanced");
        }
        if config.initial_notices {
            self.tell_of_servers(&director);
        }
        self.take_care_of(Some(&director))?;
        let events = director.process()?;
        self.director = Some(director);
        self.take_director(events);
        self.follow_roles()
    }

    /// Begins to balance if that could not be done before.
    pub(super) fn balance_again(&mut self) -> anyhow::Result<()> {
        if self.balances_again.is_some_and(|at| at <= Instant::now()) {
            self.start_director()?;
        }
        Ok(())
    }

    /// What this director has in the kernel goes if we die, where that matters.
    fn take_care_of(&mut self, director: Option<&Director>) -> anyhow::Result<()> {
        if !Caretaker::is_needed(&self.config) {
            self.caretaker.take().into_iter().for_each(Caretaker::finish);
            return Ok(());
        }
        let caretaker = match &mut self.caretaker {
            Some(caretaker) => caretaker,
            none => none.insert(Caretaker::spawn()?),
        };
        caretaker.follow(director);
        Ok(())
    }

    /// How every real server is.
    fn tell_of_servers(&mut self, director: &Director) {
        let status = director.status();
        for (server, now) in director.config().virtual_servers.iter().zip(&status.virtual_servers) {
            for (real, findings) in server.pool.servers.iter().zip(&now.state.findings) {
                let up = !findings.contains(&Finding::Down);
                self.listeners().tell_server(&server.name, real.address, up);
            }
        }
    }

    /// The director balances where the addresses are; where there are no virtual routers, that is here.
    pub(super) fn follow_roles(&mut self) -> anyhow::Result<()> {
        let Some(config) = &self.config.director else { return Ok(()) };
        let follows = |name: &String| config.routers.is_empty() || config.routers.contains(name);
        let roles = self.routers.iter().filter(|(name, _)| follows(name));
        let roles: Vec<Role> =
            roles.filter_map(|(_, running)| self.driver.router().state(running.id)).map(|state| state.role()).collect();
        let order = [Role::Active, Role::Claimant, Role::Backup];
        let alone = if self.config.routers.is_empty() { Role::Active } else { Role::Initialize };
        let role = order.into_iter().find(|role| roles.contains(role)).unwrap_or(alone);
        self.director.as_mut().map_or(Ok(()), |director| director.set_role(role))?;
        Ok(())
    }

    /// Goes from one configuration to the present one.
    pub(super) fn change_director(&mut self, before: &Config) -> anyhow::Result<()> {
        let wanted = self.config.director.clone().filter(DirectorConfig::needs_ipvs);
        match (&mut self.director, wanted) {
            (Some(director), Some(wanted)) => {
                let before = before.director.as_ref();
                if before.is_none_or(|before| before.timeouts != wanted.timeouts) {
                    set_timeouts(&mut Ipvs::open()?, &wanted)?;
                }
                if before.is_none_or(|before| before.config != wanted.config) {
                    director.reconfigure(wanted.config)?;
                }
            }
            (None, _) => self.start_director()?,
            (Some(_), None) => {
                if let Some(director) = self.director.take() {
                    director.shutdown()?.iter().for_each(super::log::director);
                }
            }
        }
        let director = self.director.take();
        let cared_for = self.take_care_of(director.as_ref());
        self.director = director;
        cared_for?;
        self.follow_roles()
    }

    /// Those who are told of servers.
    pub(super) fn listeners(&mut self) -> Listeners<'_> {
        let Self { config, notifier, fifos, mailer, .. } = self;
        Listeners { config, notifier, fifos, mailer: mailer.as_mut() }
    }
}

/// IPVS as the configuration wants it, and the services in it that a former run is taken to have left.
fn open(config: &DirectorConfig) -> Result<(Ipvs, Vec<ServiceId>), vrrp_ipvs::Error> {
    let mut ipvs = Ipvs::open()?;
    // It may be there and refused.
    ipvs.info()?;
    set_timeouts(&mut ipvs, config)?;
    let left = if config.whole_table { ipvs.service_list()? } else { Vec::new() };
    Ok((ipvs, left.into_iter().map(|status| status.service.id).collect()))
}

fn set_timeouts(ipvs: &mut Ipvs, config: &DirectorConfig) -> Result<(), vrrp_ipvs::Error> {
    config.timeouts.as_ref().map_or(Ok(()), |timeouts| ipvs.set_timeouts(timeouts))
}
