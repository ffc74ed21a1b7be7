//! Another configuration for a daemon that runs: the difference is carried out, and nothing else.

use anyhow::Context;
use vrrp_net::{Error, Guardian, RouterConfig};

use super::config::{Config, Router};
use super::engine::{Engine, label};
use super::fifo::OpenFifo;
use super::mail::Mailer;
use crate::control::Control;

/// What was done to virtual routers, to be undone if the rest cannot be.
#[derive(Debug, Default)]
struct Done {
    changed: Vec<(String, RouterConfig)>,
    added: Vec<String>,
    removed: Vec<Router>,
}

impl Engine {
    /// Goes on with another configuration. A virtual router that is in both goes on in its role, unless it is another one
    /// under the same name.
    ///
    /// # Errors
    /// What cannot be run; everything goes on as before then, only a virtual router that would have been removed may have
    /// left its role.
    pub(super) fn reload(&mut self, config: Config) -> anyhow::Result<()> {
        config.validate()?;
        if let Some(director) = &config.director {
            director.config.validate()?;
        }
        let mailer = match &config.mail {
            Some(mail) if self.mailer.as_ref().is_none_or(|mailer| mailer.config != *mail) => {
                Some(Mailer::start(mail.clone())?)
            }
            Some(_) | None => None,
        };
        let before = std::mem::replace(&mut self.config, config);
        let mut done = Done::default();
        let changed = match self.has_begun() {
            true => self.change_routers(&before, &mut done),
            false => {
                self.watch.reconfigure(&self.config, &mut self.runner);
                self.driver.set_statics(self.config.statics.clone()).map_err(Into::into)
            }
        };
        let changed = changed.and_then(|()| self.change_director(&before));
        if let Err(error) = changed {
            self.config = before;
            self.undo(done);
            return Err(error);
        }
        for router in &done.removed {
            if !self.config.routers.iter().any(|it| it.name == router.name) {
                self.tell_deleted(router, 0);
            }
        }
        if mailer.is_some() || self.config.mail.is_none() {
            self.mailer = mailer;
        }
        self.change_fifos();
        if self.config.statics != before.statics {
            self.driver.set_statics(self.config.statics.clone())?;
        }
        if (&self.config.control, self.config.metrics) != (&before.control, before.metrics) {
            // The old ones go first: the new ones may be at their place.
            self.control = Control::default();
            match self.open_control() {
                Ok(control) => self.control = control,
                Err(error) => tracing::error!("there is no control socket: {error:#}"),
            }
        }
        self.runner.security = self.config.script_security;
        self.notifier.timeout = self.config.notify_timeout;
        if self.config.guardian && !self.driver.has_guardian() {
            self.driver.set_guardian(Guardian::spawn()?)?;
        }
        tracing::info!("reloaded: {}", self.summary());
        Ok(())
    }

    fn change_routers(&mut self, before: &Config, done: &mut Done) -> anyhow::Result<()> {
        // What is tracked first: who is added is to find it.
        self.watch.reconfigure(&self.config, &mut self.runner);
        if self.config.statics != before.statics {
            self.driver.set_statics(self.config.statics.clone())?;
        }
        let wanted = self.config.routers.clone();
        let mut gone: Vec<Router> = before.routers.clone();
        let mut later: Vec<&Router> = Vec::new();
        for router in &wanted {
            let Some(place) = gone.iter().position(|it| it.name == router.name) else {
                // It may have to wait until another one gives its place up.
                match self.add(router) {
                    Ok(()) => done.added.push(router.name.clone()),
                    Err(_) => later.push(router),
                }
                continue;
            };
            let Some(id) = self.routers.get(&router.name).map(|running| running.id) else { continue };
            if gone.get(place).is_some_and(|it| it.config == router.config) {
                gone.remove(place);
                continue;
            }
            match self.driver.reconfigure(id, router.config.clone()) {
                Ok(config) => {
                    gone.remove(place);
                    done.changed.push((router.name.clone(), config));
                }
                // Another one under the same name: the old one goes.
                Err(Error::Fixed { .. }) => later.push(router),
                Err(error) if gone.len() > 1 => {
                    // It may want what another one gives up.
                    tracing::debug!("{}: {error}", label(router));
                    gone.remove(place);
                    later.push(router);
                }
                Err(error) => return Err(error).with_context(|| label(router)),
            }
        }
        if gone.is_empty()
            && let Some(router) = later.first()
        {
            // Once more, for its words.
            return match self.routers.get(&router.name).map(|running| running.id) {
                Some(id) => self.driver.reconfigure(id, router.config.clone()).map(drop).map_err(Into::into),
                None => self.add(router),
            }
            .with_context(|| label(router));
        }
        for router in gone {
            self.remove(&router.name)?;
            done.removed.push(router);
        }
        for router in later {
            match self.routers.get(&router.name).map(|running| running.id) {
                Some(id) => {
                    let config = self.driver.reconfigure(id, router.config.clone()).with_context(|| label(router))?;
                    done.changed.push((router.name.clone(), config));
                }
                None => {
                    self.add(router)?;
                    done.added.push(router.name.clone());
                }
            }
        }
        self.regroup()?;
        self.assess(wanted.iter().map(|router| router.name.clone()).collect())?;
        wanted.iter().for_each(|router| self.tell_groups_of(&router.name));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        let Some(running) = self.routers.remove(name) else { return Ok(()) };
        self.driver.remove(running.id)?;
        // Its last ones have its name.
        self.take_events()?;
        self.names.remove(&running.id);
        Ok(())
    }

    /// Back to what was before, as far as that goes.
    fn undo(&mut self, done: Done) {
        let mut trouble = Vec::new();
        for name in done.added {
            trouble.extend(self.remove(&name).err());
        }
        for (name, config) in done.changed {
            if let Some(running) = self.routers.get(&name) {
                trouble.extend(self.driver.reconfigure(running.id, config).err().map(Into::into));
            }
        }
        for router in done.removed {
            trouble.extend(self.add(&router).err());
        }
        self.watch.reconfigure(&self.config, &mut self.runner);
        if *self.driver.statics() != self.config.statics {
            trouble.extend(self.driver.set_statics(self.config.statics.clone()).err().map(Into::into));
        }
        trouble.extend(self.regroup().err());
        for error in trouble {
            tracing::error!("cannot go back to the configuration before: {error:#}");
        }
    }

    fn change_fifos(&mut self) {
        let mut before = std::mem::take(&mut self.fifos);
        for config in self.config.fifos.clone() {
            if let Some(place) = before.iter().position(|fifo| fifo.config == config) {
                self.fifos.push(before.swap_remove(place));
                continue;
            }
            if let Some(place) = before.iter().position(|fifo| fifo.config.path == config.path) {
                before.swap_remove(place).close(&mut self.runner);
            }
            match OpenFifo::open(config, &mut self.runner) {
                Ok(fifo) => self.fifos.push(fifo),
                Err(error) => tracing::error!("{error:#}"),
            }
        }
        for fifo in before {
            fifo.close(&mut self.runner);
        }
    }
}
