//! Another configuration for a director that runs.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{Config, VirtualServer};
use super::kernel::Kernel;
use super::{Director, DirectorError, Supervised};
use crate::check::{CheckStatus, Driver, Failure, Health, Passed};
use crate::model::ServiceId;
use crate::service::Supervisor;

impl<K: Kernel> Director<K> {
    /// Goes on with another configuration. What both have stays as it is in the kernel; what only the old one had is
    /// removed, drained if that is wanted.
    ///
    /// A virtual server of the same name and pool goes on with its checks. In a pool that has changed, what was last found
    /// out about a server with the same address and checks holds until they find out something else; events may say it
    /// again. Of a virtual server whose name is gone the events say what `omega` asks for.
    ///
    /// # Errors
    /// [`DirectorError`] if the configuration makes no sense; the old one goes on then.
    pub fn reconfigure(&mut self, config: Config) -> Result<(), DirectorError> {
        let owned = config.full_table()?.ids().collect();
        let services: Vec<Vec<ServiceId>> =
            config.virtual_servers.iter().map(VirtualServer::services).collect::<Result<_, _>>()?;
        let role = self.service_role();
        let goes_on = |old: &Config, new: &VirtualServer| {
            old.virtual_servers.iter().any(|old| (&old.name, &old.pool) == (&new.name, &new.pool))
        };
        let mut begun = Vec::new();
        for server in &config.virtual_servers {
            if goes_on(&self.config, server) {
                begun.push(None);
                continue;
            }
            match Supervisor::start(&mut self.checks, server.pool.clone(), role) {
                Ok(started) => begun.push(Some(started)),
                Err(error) => {
                    for (supervisor, _) in begun.into_iter().flatten() {
                        // Nobody has heard of it.
                        let _ = supervisor.stop(&mut self.checks);
                    }
                    return Err(DirectorError::Start { name: server.name.clone(), error });
                }
            }
        }

        let mut before: BTreeMap<String, Supervised> = BTreeMap::new();
        for (index, server) in std::mem::take(&mut self.servers).into_iter().enumerate() {
            let name = self.name(index);
            if config.virtual_servers.iter().any(|new| new.name == name) {
                before.insert(name, server);
            } else {
                let actions = server.supervisor.stop(&mut self.checks);
                self.act(index, actions, None);
            }
        }
        self.daemon_leaves = config.sync.is_none() && (self.config.sync.is_some() || self.daemon_leaves);
        self.keeper.set_times(config.drain, config.inspect);
        self.config = config;
        self.leave(owned);

        for (index, (services, begun)) in services.into_iter().zip(begun).enumerate() {
            let before = before.remove(&self.name(index));
            let sorry = before.as_ref().is_some_and(|before| before.sorry);
            let supervisor = match (begun, before) {
                (Some((supervisor, actions)), before) => {
                    if let Some(before) = before {
                        remember(&mut self.checks, &before.supervisor, &supervisor);
                        // It goes on under its name: nobody is told that it ends.
                        let _ = before.supervisor.stop(&mut self.checks);
                    }
                    self.act(index, actions, None);
                    supervisor
                }
                (None, Some(before)) => before.supervisor,
                // Only one that was there goes on.
                (None, None) => continue,
            };
            self.servers.push(Supervised { supervisor, services, sorry });
        }
        self.owners.clear();
        for (index, server) in self.servers.iter().enumerate() {
            self.owners.extend(server.supervisor.checks().map(|(check, _)| (check, index)));
        }
        // The next turn makes the table, when it has heard what is remembered of the servers.
        self.changed = (0..self.servers.len()).collect();
        self.keeper.read_anew();
        self.arm()
    }

    /// Owns `owned` from now on, and what was owned until it is gone.
    fn leave(&mut self, owned: BTreeSet<ServiceId>) {
        let before = std::mem::replace(&mut self.owned, owned);
        for service in before {
            if self.owned.insert(service) {
                self.balanced.remove(service);
            }
        }
        self.leaving = true;
    }

    /// What an earlier configuration had is not touched any more once it is gone.
    pub(super) fn forget_what_has_left(&mut self) {
        self.leaving = false;
        self.daemon_leaves = false;
        self.owned.retain(|service| self.balanced.contains(*service));
    }
}

/// Tells the checks of `new` what those of `old` have found out, where they ask the same of the same server.
fn remember(driver: &mut Driver, old: &Supervisor, new: &Supervisor) {
    let places: BTreeMap<_, _> = old.checks().map(|(check, place)| (place, check)).collect();
    for (check, (server, number)) in new.checks() {
        let Some(real) = new.config().servers.get(server) else { continue };
        let same =
            old.config().servers.iter().position(|old| (old.address, &old.checks) == (real.address, &real.checks));
        let status = same.and_then(|server| driver.check_status(*places.get(&(server, number))?));
        let Some(CheckStatus { health, weight, last_failure, schedule, .. }) = status else { continue };
        if !schedule.judged {
            continue;
        }
        let verdict = match health {
            Health::Up => Ok(Passed { weight }),
            Health::Down => Err(last_failure.unwrap_or_else(|| Failure::Application("it did not before".into()))),
        };
        // Both are there.
        let _ = driver.tell(check, verdict);
    }
}
