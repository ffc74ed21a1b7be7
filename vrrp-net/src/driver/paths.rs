//! Routes, rules and lasting addresses on the host: added, put back and removed, in the batches of the addresses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use vrrp_core::{Family, IfIndex, Instant, RouterId};

use super::Driver;
use super::event::DriverEvent;
use super::managed::{Chore, Task};
use super::reservation::Reservation;
use crate::config::Statics;
use crate::error::Error;
use crate::interface::Interface;
use crate::netlink::{Change, HostChange, InterfaceAddress, Link, Outcome, Path, PathRequest, Route};
use crate::sys;

/// When what could not be added is tried again: of a gateway that can be reached now, nobody tells.
const RETRY: Duration = Duration::from_secs(10);

/// What another program removes this often in this time is not put back for the rest of it.
const REMOVALS_ALLOWED: u32 = 5;
const REMOVAL_WINDOW: Duration = Duration::from_secs(60);

/// Whose paths they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Statics,
    Router(RouterId),
}

/// The paths of one owner, in the order in which they are added.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) items: Vec<Item>,
    /// How often they were removed, and since when that is counted.
    removals: (u32, Option<Instant>),
    /// Until when they are not put back.
    quiet_until: Option<Instant>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) path: Arc<Path>,
    /// As it was last asked for.
    request: Option<PathRequest>,
    pub(super) is_there: bool,
    /// Whether the application knows that it cannot be added.
    told: bool,
    /// Why it is to be looked at.
    suspect: Option<PathPurpose>,
    /// Somebody else's, which was there before.
    foreign: bool,
}

/// What stays whatever the roles are.
#[derive(Debug, Default)]
pub(super) struct StaticPaths {
    pub(super) config: Statics,
    pub(super) paths: Paths,
    pub(super) todo: VecDeque<PathTodo>,
    /// That others can see that these are not left over.
    pub(super) reservation: Option<Reservation>,
}

/// One thing to ask of the kernel.
#[derive(Clone, Debug)]
pub(super) struct PathTodo {
    pub(super) purpose: PathPurpose,
    path: Arc<Path>,
    /// As it was asked for, of one to be removed.
    request: Option<PathRequest>,
}

/// Why a path is added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathPurpose {
    /// It moves here.
    Install,
    /// What it needs may be there again.
    Return,
    /// Somebody else may have removed it.
    Restore,
    /// It moves away.
    Remove,
}

impl Paths {
    /// These, with what is known of those that were there before. Also those that are gone, in the order of their removal.
    pub(super) fn replaced(&mut self, wanted: Vec<Path>) -> Vec<PathTodo> {
        let mut before: VecDeque<Item> = std::mem::take(&mut self.items).into();
        for path in wanted {
            // Mostly the first one.
            let known = before.iter().position(|item| *item.path == path);
            self.items.push(known.and_then(|place| before.remove(place)).unwrap_or_else(|| Item::new(path)));
        }
        before.iter().rev().filter(|item| !item.foreign).map(|item| item.todo(PathPurpose::Remove)).collect()
    }

    /// What removes all of them: the last one first.
    pub(super) fn removals(&self) -> Vec<PathTodo> {
        let own = self.items.iter().rev().filter(|item| !item.foreign);
        own.map(|item| item.todo(PathPurpose::Remove)).collect()
    }

    /// What adds those that are not there.
    pub(super) fn installations(&self) -> Vec<PathTodo> {
        self.items.iter().filter(|item| !item.is_there).map(|item| item.todo(PathPurpose::Install)).collect()
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.items.iter().any(|item| *item.path == *path)
    }

    fn item(&mut self, path: &Arc<Path>) -> Option<&mut Item> {
        let place = self.items.iter().position(|item| Arc::ptr_eq(&item.path, path));
        let place = place.or_else(|| self.items.iter().position(|item| item.path == *path))?;
        self.items.get_mut(place)
    }

    fn suspect(&mut self, purpose: PathPurpose, which: impl Fn(&Item) -> bool) -> bool {
        let mut any = false;
        for item in self.items.iter_mut().filter(|item| item.path.is_tracked() && which(item)) {
            any = true;
            if item.suspect != Some(PathPurpose::Restore) {
                item.suspect = Some(purpose);
            }
        }
        any
    }

    /// What is to be looked at now.
    fn take_suspects(&mut self, now: Instant) -> Vec<PathTodo> {
        let quiet = self.quiet_until.is_some_and(|until| now < until);
        let due = |item: &&mut Item| item.suspect.is_some_and(|purpose| !quiet || purpose != PathPurpose::Restore);
        self.items
            .iter_mut()
            .filter(due)
            .filter_map(|item| Some(item.suspect.take()).flatten().map(|it| item.todo(it)))
            .collect()
    }
}

impl Item {
    fn new(path: Path) -> Self {
        let path = Arc::new(path);
        Self { path, request: None, is_there: false, told: false, suspect: None, foreign: false }
    }

    fn todo(&self, purpose: PathPurpose) -> PathTodo {
        PathTodo { purpose, path: Arc::clone(&self.path), request: self.request.clone() }
    }
}

impl PathTodo {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The numbers of interfaces that were asked for in one turn; of one that there is not, which there are.
pub(super) type Names = BTreeMap<String, Result<IfIndex, Vec<String>>>;

impl Driver {
    /// Has these on this host as long as the driver lives, whatever the roles are, in place of those that it was given
    /// before; what is in both is not touched. They are there after some calls of [`process`](Self::process), and put back if
    /// somebody removes them ([`DriverEvent::StaticRestored`]); at the end they are removed, as keepalived does.
    ///
    /// What the kernel refuses is tried again ([`DriverEvent::StaticRefused`]). If the process is killed they stay, with a
    /// guardian too: a successor that is given them takes them over, and
    /// [`remove_leftovers`](Self::remove_leftovers) removes the others.
    ///
    /// # Errors
    /// [`Error::Route`], [`Error::Rule`], [`Error::BadAddress`]: nothing has changed then. [`Error::Io`].
    pub fn set_statics(&mut self, statics: Statics) -> Result<(), Error> {
        statics.check()?;
        let addresses = statics.addresses.iter().filter_map(|it| Some((it.interface()?.to_owned(), it.clone())));
        let mut wanted: Vec<Path> = addresses.map(|(interface, address)| Path::Address(interface, address)).collect();
        wanted.extend(Path::all(&statics.routes, &statics.rules));
        if self.statics.reservation.is_none() && !wanted.is_empty() {
            self.statics.reservation = super::reservation::reserve_statics();
        }
        self.statics.config = statics;
        let gone = self.statics.paths.replaced(wanted);
        self.statics.todo.retain(|todo| todo.purpose == PathPurpose::Remove);
        self.statics.todo.extend(gone);
        let new = self.statics.paths.installations();
        self.statics.todo.extend(new);
        self.watch_paths()?;
        self.finish_turn()
    }

    /// What was last given to [`set_statics`](Self::set_statics).
    pub fn statics(&self) -> &Statics {
        &self.statics.config
    }

    /// At the end.
    pub(super) fn remove_statics(&mut self) {
        let removals = std::mem::take(&mut self.statics.paths).removals();
        self.statics.todo.retain(|todo| todo.purpose == PathPurpose::Remove);
        self.statics.todo.extend(removals);
    }

    /// Has the monitor tell of what paths depend on. Before they are added: then no change falls in between.
    pub(super) fn watch_paths(&mut self) -> Result<(), Error> {
        let all = || self.managed.values().map(|managed| &managed.paths).chain([&self.statics.paths]);
        let has = |is: fn(&Path) -> bool| all().flat_map(|paths| &paths.items).any(|item| is(&item.path));
        let (routes, rules) = (has(|it| matches!(it, Path::Route(_))), has(|it| matches!(it, Path::Rule(_))));
        if routes && !self.watches_routes {
            self.monitor.watch_routes()?;
        }
        if rules && !self.watches_rules {
            self.monitor.watch_rules()?;
        }
        self.watches_routes = routes;
        self.watches_rules |= rules;
        Ok(())
    }

    pub(super) fn queue_paths(&mut self, id: RouterId, todo: Vec<PathTodo>) {
        let Some(managed) = self.managed.get_mut(&id).filter(|_| !todo.is_empty()) else { return };
        managed.lingers = false;
        managed.todo.extend(todo.into_iter().map(Task::Path));
        if !self.busy.contains(&id) {
            self.busy.push_back(id);
        }
    }

    fn paths_mut(&mut self, owner: Owner) -> Option<&mut Paths> {
        match owner {
            Owner::Statics => Some(&mut self.statics.paths),
            Owner::Router(id) => self.managed.get_mut(&id).map(|managed| &mut managed.paths),
        }
    }

    /// Whether its paths are to be on the host.
    fn has_paths(&self, owner: Owner) -> bool {
        match owner {
            Owner::Statics => true,
            Owner::Router(id) => self.managed.get(&id).is_some_and(|managed| managed.installed.is_some()),
        }
    }

    /// Each that has paths which are to be on the host.
    fn active_paths(&mut self) -> impl Iterator<Item = &mut Paths> {
        let routers = self.managed.values_mut().filter(|managed| managed.installed.is_some());
        routers.map(|managed| &mut managed.paths).chain([&mut self.statics.paths]).filter(|it| !it.items.is_empty())
    }

    /// With the numbers of its interfaces.
    fn resolve(&mut self, path: &Arc<Path>, names: &mut Names) -> Result<PathRequest, Error> {
        let mut interfaces = Vec::new();
        for name in path.interfaces() {
            let Some(name) = name else {
                interfaces.push(None);
                continue;
            };
            let index = match names.get(name) {
                Some(known) => known.clone(),
                None => {
                    let own = self.interfaces.values().find(|interface| interface.name == name);
                    let found = match own.and_then(Interface::index) {
                        Some(index) => Ok(index),
                        None => match self.netlink.link_by_name(name) {
                            Ok(link) => Ok(link.index),
                            Err(Error::UnknownInterface { have, .. }) => Err(have),
                            Err(error) => return Err(error),
                        },
                    };
                    names.insert(name.to_owned(), found.clone());
                    found
                }
            };
            let unknown = |have| Error::UnknownInterface { wanted: format!("{name:?}"), have };
            interfaces.push(Some(index.map_err(unknown)?));
        }
        Ok(PathRequest { path: Arc::clone(path), interfaces })
    }

    /// What to ask of the kernel, in this order; the last of them is what counts. None if there is nothing to be done.
    pub(super) fn path_changes(
        &mut self,
        owner: Owner,
        todo: &PathTodo,
        names: &mut Names,
    ) -> Result<Vec<HostChange>, Error> {
        if todo.purpose == PathPurpose::Remove {
            let shared = self.is_wanted_by_another(owner, &todo.path);
            let request = match &todo.request {
                Some(request) => Some(request.clone()),
                // Nothing of it can be on an interface that is not there.
                None => self.resolve(&todo.path, names).ok(),
            };
            let request = request.filter(|_| !shared);
            if request.is_none()
                && !self.has_paths_again(owner, &todo.path)
                && let Some(item) = self.paths_mut(owner).and_then(|paths| paths.item(&todo.path))
            {
                // It is another one's now, or went with its interface.
                item.is_there = false;
            }
            return Ok(request.map(HostChange::Remove).into_iter().collect());
        }
        if !self.has_paths(owner) || self.paths_mut(owner).is_none_or(|paths| paths.item(&todo.path).is_none()) {
            return Ok(Vec::new());
        }
        let request = self.resolve(&todo.path, names)?;
        if let (Path::Address(_, address), Some(index)) = (&*todo.path, request.interface())
            && address.address().family() == Family::V4
            && address.address().prefix_len() < 32
        {
            // Or what goes at the end takes others along.
            self.keep_apart_on(index);
        }
        let item = self.paths_mut(owner).and_then(|paths| paths.item(&todo.path));
        // An interface of its name has come in the place of another one.
        let before = item.and_then(|item| item.request.replace(request.clone())).filter(|before| *before != request);
        if before.is_some()
            && let Owner::Router(id) = owner
            && let Some(managed) = self.managed.get_mut(&id)
        {
            managed.rearm = true;
        }
        Ok(before.map(HostChange::Remove).into_iter().chain([HostChange::Add(request)]).collect())
    }

    /// Two may have the same: what one gives up is still the other's.
    fn is_wanted_by_another(&self, owner: Owner, path: &Path) -> bool {
        let statics = owner != Owner::Statics && self.statics.paths.has(path);
        let is_other = |id: &RouterId| owner != Owner::Router(*id);
        statics
            || self.managed.iter().any(|(id, it)| is_other(id) && it.installed.is_some() && it.paths.has(path))
            || self.has_paths_again(owner, path)
    }

    /// Whether it is to be here after all.
    fn has_paths_again(&self, owner: Owner, path: &Path) -> bool {
        match owner {
            Owner::Statics => false,
            Owner::Router(id) => {
                self.managed.get(&id).is_some_and(|managed| managed.installed.is_some() && managed.paths.has(path))
            }
        }
    }

    /// What comes of one change.
    pub(super) fn path_changed(&mut self, now: Instant, owner: Owner, todo: &PathTodo, result: Result<Outcome, Error>) {
        let wanted = self.has_paths(owner);
        let mut foreign = false;
        if let (Path::Address(..), Ok(Outcome::WasSo), PathPurpose::Install) = (&*todo.path, &result, todo.purpose) {
            foreign = !self.is_marked_static(todo);
        }
        let Some(paths) = self.paths_mut(owner) else { return };
        let item = paths.item(&todo.path);
        match (todo.purpose, result, item) {
            (PathPurpose::Remove, Ok(_), item) => {
                if let Some(item) = item {
                    item.is_there = false;
                    item.told = false;
                }
            }
            (PathPurpose::Remove, Err(error), _) => self.events.push(refused(owner, &todo.path, error)),
            (_, _, None) => {}
            (_, _, Some(_)) if !wanted => {}
            (purpose, Ok(outcome), Some(item)) => {
                item.is_there = true;
                item.told = false;
                item.foreign = outcome == Outcome::WasSo && (item.foreign || foreign);
                if (purpose, outcome) == (PathPurpose::Restore, Outcome::Done) {
                    self.restored(now, owner, &todo.path);
                }
            }
            (purpose, Err(error), Some(item)) => {
                item.is_there = false;
                let tells = match purpose {
                    PathPurpose::Install => true,
                    PathPurpose::Restore => !is_for_want_of_link(&error),
                    PathPurpose::Return | PathPurpose::Remove => false,
                };
                if tells && !std::mem::replace(&mut item.told, true) {
                    self.events.push(refused(owner, &todo.path, error));
                }
                self.check_paths_at(now + RETRY);
            }
        }
    }

    /// Whether a static address that was there has been put there by this crate.
    fn is_marked_static(&mut self, todo: &PathTodo) -> bool {
        let item = self.statics.paths.item(&todo.path);
        let index = item.and_then(|item| item.request.as_ref()?.interface());
        let Path::Address(_, address) = &*todo.path else { return false };
        let address = address.address();
        let is_it = |it: &InterfaceAddress| {
            (it.address, it.prefix_len) == (address.address(), address.prefix_len())
                && it.protocol == Some(super::STATIC_MARK)
        };
        index.is_some() && self.netlink.addresses(index).is_ok_and(|all| all.iter().any(is_it))
    }

    /// It had been removed, and is there again.
    fn restored(&mut self, now: Instant, owner: Owner, path: &Path) {
        self.events.push(match (owner, path) {
            (Owner::Router(router), Path::Route(route)) => {
                DriverEvent::RouteRestored { router, route: Box::new(route.clone()) }
            }
            (Owner::Router(router), Path::Rule(rule)) => {
                DriverEvent::RuleRestored { router, rule: Box::new(rule.clone()) }
            }
            (Owner::Statics | Owner::Router(_), path) => DriverEvent::StaticRestored { what: path.to_string() },
        });
        let Some(paths) = self.paths_mut(owner) else { return };
        let (count, since) = paths.removals;
        let since = since.filter(|since| now < *since + REMOVAL_WINDOW);
        paths.removals = since.map_or((1, Some(now)), |since| (count.saturating_add(1), Some(since)));
        if paths.removals.0 > REMOVALS_ALLOWED {
            let until = paths.removals.1.unwrap_or(now) + REMOVAL_WINDOW;
            paths.removals = (0, None);
            paths.quiet_until = Some(until);
            let router = match owner {
                Owner::Statics => None,
                Owner::Router(id) => Some(id),
            };
            self.events.push(DriverEvent::RouteContested { router, what: path.to_string() });
            self.check_paths_at(until);
        }
    }

    fn check_paths_at(&mut self, at: Instant) {
        if self.paths_due.is_none_or(|due| at < due) {
            self.paths_due = Some(at);
            self.chores.insert((at, Chore::CheckPaths));
        }
    }

    /// What could not be added is tried again.
    pub(super) fn retry_paths(&mut self, now: Instant) {
        self.paths_due = None;
        for paths in self.active_paths() {
            paths.suspect(PathPurpose::Return, |item| !item.is_there);
        }
        self.check_paths(now);
    }

    /// Asks for everything that may be gone once more; the kernel says whether it was.
    pub(super) fn check_paths(&mut self, now: Instant) {
        if self.statics.todo.is_empty() {
            let todo = self.statics.paths.take_suspects(now);
            self.statics.todo.extend(todo);
        }
        let ids: Vec<RouterId> = self
            .managed
            .iter()
            .filter(|(_, it)| it.paths.items.iter().any(|item| item.suspect.is_some()))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.check_paths_of(now, id);
        }
    }

    /// The same for one virtual router, once nothing else is asked for it.
    pub(super) fn check_paths_of(&mut self, now: Instant, id: RouterId) {
        let Some(managed) = self.managed.get_mut(&id) else { return };
        if managed.installed.is_some() && managed.todo.is_empty() {
            let todo = managed.paths.take_suspects(now);
            self.queue_paths(id, todo);
        }
    }

    /// Takes note of what a change may have done to paths. Whether something is to be looked at.
    pub(super) fn note_for_paths(&mut self, change: &Change) -> bool {
        match change {
            Change::Link(link) => self.link_of_paths_changed(link),
            Change::LinkRemoved { index, name } => {
                self.path_links.remove(index);
                self.suspect_paths(PathPurpose::Return, |item| item.path.depends_on(name))
            }
            Change::Address(address) if address.protocol == Some(super::ADDRESS_MARK) => false,
            // What needs it can be added now.
            Change::Address(_) => self.suspect_paths(PathPurpose::Return, |item| !item.is_there),
            Change::AddressRemoved(address) => self.suspect_paths(PathPurpose::Restore, |item| match &*item.path {
                Path::Address(_, it) => {
                    let it = it.address();
                    (it.address(), it.prefix_len()) == (address.address, address.prefix_len)
                }
                // The kernel deletes routes with it as their source, and does not tell.
                Path::Route(route) => route.source == Some(address.address),
                Path::Rule(_) => false,
            }),
            Change::RouteRemoved(route) => {
                self.suspect_paths(PathPurpose::Restore, |item| item.is_there && is_like(&item.path, route))
            }
            Change::RuleRemoved { priority, protocol } => self.suspect_paths(PathPurpose::Restore, |item| match &*item
                .path
            {
                Path::Rule(rule) => item.is_there && rule.priority == *priority && item.path.protocol() == *protocol,
                Path::Address(..) | Path::Route(_) => false,
            }),
            Change::Overrun => {
                self.path_links.clear();
                self.suspect_paths(PathPurpose::Restore, |_| true)
            }
            Change::LinkMoved(_) | Change::Route { .. } => false,
        }
    }

    fn link_of_paths_changed(&mut self, link: &Link) -> bool {
        let now = (link.name.clone(), link.up);
        let before = self.path_links.insert(link.index, now.clone());
        // The first that is heard of it may be old news.
        before.as_ref() != Some(&now)
            && self.suspect_paths(PathPurpose::Return, |item| item.path.depends_on(&link.name))
    }

    fn suspect_paths(&mut self, purpose: PathPurpose, which: impl Fn(&Item) -> bool) -> bool {
        let mut any = false;
        for paths in self.active_paths() {
            any |= paths.suspect(purpose, &which);
        }
        any
    }

    /// What the guardian is to remove: the last one first.
    pub(super) fn guarded_paths(&mut self, id: RouterId) -> Vec<PathRequest> {
        let mut names = Names::new();
        let paths: Vec<Arc<Path>> = match self.managed.get(&id) {
            Some(managed) => managed.paths.items.iter().rev().map(|item| Arc::clone(&item.path)).collect(),
            None => return Vec::new(),
        };
        // Those on interfaces that do not exist yet are told of once they do.
        let requests: Vec<_> = paths.iter().filter_map(|path| self.resolve(path, &mut names).ok()).collect();
        for request in &requests {
            let item = self.managed.get_mut(&id).and_then(|managed| managed.paths.item(&request.path));
            if let Some(item) = item {
                item.request.get_or_insert_with(|| request.clone());
            }
        }
        requests
    }

    /// Removes the routes, rules and lasting addresses that carry this crate's marks and are none of this driver's. Returns
    /// what they were.
    pub(super) fn remove_left_paths(&mut self) -> Result<Vec<String>, Error> {
        let items = || {
            let all = self.managed.values().map(|managed| &managed.paths).chain([&self.statics.paths]);
            all.flat_map(|paths| &paths.items).map(|item| &*item.path)
        };
        let left = self.netlink.left_paths()?;
        let is_ours = |it: &crate::netlink::LeftPath| items().any(|path| it.may_be(path));
        let gone: Vec<_> = left.into_iter().filter(|left| !is_ours(left)).collect();
        gone.into_iter().map(|left| left.remove(&mut self.netlink)).collect()
    }
}

/// Whether that may be this one.
fn is_like(path: &Path, route: &Route) -> bool {
    let Path::Route(wanted) = path else { return false };
    path.protocol() == route.protocol
        && wanted.table == route.table
        && (wanted.destination.address(), wanted.destination.prefix_len()) == route.destination
}

/// Whether it will be added once an interface is there or up.
fn is_for_want_of_link(error: &Error) -> bool {
    let numbers = [sys::ENETDOWN, sys::ENODEV, sys::ENETUNREACH, sys::EHOSTUNREACH];
    matches!(error, Error::UnknownInterface { .. }) || error.raw_os_error().is_some_and(|it| numbers.contains(&it))
}

fn refused(owner: Owner, path: &Path, error: Error) -> DriverEvent {
    match (owner, path) {
        (Owner::Router(router), Path::Route(route)) => {
            DriverEvent::RouteRefused { router, route: Box::new(route.clone()), error }
        }
        (Owner::Router(router), Path::Rule(rule)) => {
            DriverEvent::RuleRefused { router, rule: Box::new(rule.clone()), error }
        }
        (Owner::Statics | Owner::Router(_), what) => DriverEvent::StaticRefused { what: what.to_string(), error },
    }
}
