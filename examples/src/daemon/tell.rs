//! Who is told of what: programs, pipes and mail, each once for each change.

use std::collections::BTreeMap;

use vrrp_net::vrrp_core::{Cause, Role, RouterId, State, Transition};

use super::config::{About, Config, Router};
use super::engine::{Engine, Running, RunningGroup};
use super::fifo::OpenFifo;
use super::notify::{Notifier, Object, Told};

impl Engine {
    /// A virtual router has changed its role.
    pub(super) fn tell_transition(&mut self, name: &str, transition: &Transition) {
        let told = match (transition.to, transition.cause) {
            (Role::Active, _) => Told::Active,
            (Role::Backup, _) => Told::Backup,
            (Role::Initialize, Cause::Fault(_)) => Told::Fault,
            (Role::Initialize, _) => Told::Stop,
            // Nothing is served yet.
            (Role::Claimant, _) => return,
        };
        self.tell(name, told);
    }

    /// Says what a virtual router has become, unless that was said last.
    pub(super) fn tell(&mut self, name: &str, told: Told) {
        let Some(router) = self.config.routers.iter().find(|router| router.name == name).cloned() else { return };
        let Some(running) = self.routers.get_mut(name) else { return };
        if running.told == Some(told) {
            return;
        }
        running.told = Some(told);
        let id = running.id;
        self.publish(&router, told, self.effective_priority(id));
        self.tell_groups_of(name);
    }

    fn publish(&mut self, router: &Router, told: Told, priority: u8) {
        let (name, word) = (&router.name, told.word());
        self.notifier.tell(&Object::Instance(name.clone()), &router.notify, told, priority);
        self.write(About::Routers, &format!("INSTANCE \"{name}\" {word} {priority}"));
        if router.mail && told != Told::Stop {
            let body = format!("Virtual router {name} ({}) is in state {word}, priority {priority}.\n", {
                format!("{}/{}", router.config.interface(), router.config.vrid())
            });
            self.mail(&format!("VRRP Instance {name} - Entering {word} state"), body);
        }
    }

    /// A virtual router that is not configured any more.
    pub(super) fn tell_deleted(&mut self, router: &Router, priority: u8) {
        let told = if router.notify.deleted.is_some() { Told::Deleted } else { Told::Fault };
        self.publish(router, told, priority);
    }

    /// What a group is, if its members agree.
    pub(super) fn tell_groups_of(&mut self, member: &str) {
        let groups = self.config.groups.iter().filter(|group| group.members.iter().any(|name| name == member));
        for group in groups.cloned().collect::<Vec<_>>() {
            let members: Option<Vec<Told>> =
                group.members.iter().map(|name| self.routers.get(name).and_then(|running| running.told)).collect();
            let Some(members) = members else { continue };
            let all = |told| members.iter().all(|member| *member == told);
            let told = if members.contains(&Told::Fault) {
                Told::Fault
            } else if let Some(told) = [Told::Active, Told::Backup, Told::Stop].into_iter().find(|told| all(*told)) {
                told
            } else {
                continue;
            };
            let Some(running) = self.groups.get_mut(&group.name) else { continue };
            if running.told == Some(told) {
                continue;
            }
            running.told = Some(told);
            let (name, word) = (&group.name, told.word());
            // A group has no priority.
            self.notifier.tell(&Object::Group(name.clone()), &group.notify, told, 0);
            self.write(About::Routers, &format!("GROUP \"{name}\" {word} 0"));
            if group.mail && told != Told::Stop {
                let body = format!("The virtual routers of group {name} are in state {word}.\n");
                self.mail(&format!("VRRP Group {name} - Entering {word} state"), body);
            }
        }
    }

    /// What is no change of a role: rivals that an Active has met, and priorities.
    pub(super) fn tell_of_what_is_settled(&mut self) {
        let interested =
            |router: &&Router| router.notify_priority || router.notify.rival.is_some() || !self.config.fifos.is_empty();
        for router in self.config.routers.iter().filter(interested).cloned().collect::<Vec<_>>() {
            let Some(id) = self.routers.get(&router.name).map(|running| running.id) else { continue };
            let priority = self.effective_priority(id);
            let rivals = self.driver.router().counters(id).map_or(0, |counters| counters.rivals_seen);
            let state = self.driver.router().state(id);
            let Some(running) = self.routers.get_mut(&router.name) else { continue };
            let met = std::mem::replace(&mut running.rivals, rivals) < rivals;
            let moved = std::mem::replace(&mut running.priority, priority) != priority;
            let name = &router.name;
            if met && matches!(state, Some(State::Active(_))) {
                if let Some(command) = &router.notify.rival {
                    self.notifier.push(&Object::Instance(name.clone()), command, Vec::new());
                }
                self.write(About::Routers, &format!("INSTANCE \"{name}\" MASTER_RX_LOWER_PRI {priority}"));
            }
            let word = match state {
                Some(State::Active(_)) => "MASTER_PRIORITY",
                Some(State::Backup(_)) => "BACKUP_PRIORITY",
                Some(State::Initialize(_) | State::Claimant(_)) | None => continue,
            };
            if moved && router.notify_priority {
                self.write(About::Routers, &format!("INSTANCE \"{name}\" {word} {priority}"));
            }
        }
    }

    pub(super) fn write(&mut self, about: About, line: &str) {
        self.fifos.iter_mut().for_each(|fifo| fifo.tell(about, line));
    }

    pub(super) fn mail(&mut self, what: &str, body: String) {
        let host = host(&self.config);
        if let Some(mailer) = &mut self.mailer {
            mailer.send(format!("[{host}] {what}"), body);
        }
    }
}

/// The last words for all.
pub(super) fn stopped(
    config: &Config,
    routers: &mut BTreeMap<String, Running>,
    groups: &mut BTreeMap<String, RunningGroup>,
    priorities: &BTreeMap<RouterId, u8>,
    notifier: &mut Notifier,
    fifos: &mut [OpenFifo],
) {
    let mut write = |line: &str| fifos.iter_mut().for_each(|fifo| fifo.tell(About::Routers, line));
    for router in &config.routers {
        let Some(running) = routers.get_mut(&router.name).filter(|running| running.told != Some(Told::Stop)) else {
            continue;
        };
        running.told = Some(Told::Stop);
        let priority = priorities.get(&running.id).copied().unwrap_or_default();
        notifier.tell(&Object::Instance(router.name.clone()), &router.notify, Told::Stop, priority);
        write(&format!("INSTANCE \"{}\" STOP {priority}", router.name));
    }
    for group in &config.groups {
        if groups.get(&group.name).is_some_and(|running| running.told != Some(Told::Stop)) {
            notifier.tell(&Object::Group(group.name.clone()), &group.notify, Told::Stop, 0);
            write(&format!("GROUP \"{}\" STOP 0", group.name));
        }
    }
}

/// This host's name in mails.
pub(super) fn host(config: &Config) -> String {
    if !config.name.is_empty() {
        return config.name.clone();
    }
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
