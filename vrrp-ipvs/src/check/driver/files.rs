//! The files that checks read, watched by inotify, so that a change is seen at once.
//!
//! It is the file itself that is watched, not its folder, whose other files would wake the driver. A file that is replaced
//! by another of its name is gone: that is an event too, and the attempt that follows watches the new one. What nobody can be
//! told of is found out by the next attempt: a file that was not there, or one that is never closed.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::epoll;
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};

/// The token of the descriptor: above all programs.
pub(super) const TOKEN: u64 = super::TIMER - 1;

#[derive(Debug, Default)]
pub(super) struct Files {
    /// Made for the first file.
    inotify: Option<OwnedFd>,
    /// The checks that read what a watch is of.
    readers: BTreeMap<i32, BTreeSet<u64>>,
    watches: BTreeMap<u64, i32>,
}

impl Files {
    /// Watches what is at `path` for a check, instead of what was there before. Where that cannot be, nobody is told.
    pub(super) fn watch(&mut self, epoll: &OwnedFd, id: u64, path: &Path) {
        let changes = WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        let watch = self.inotify(epoll).and_then(|inotify| add_watch(inotify, path, changes).ok());
        if watch == self.watches.get(&id).copied() {
            return;
        }
        self.forget(id);
        if let Some(watch) = watch {
            self.watches.insert(id, watch);
            self.readers.entry(watch).or_default().insert(id);
        }
    }

    /// A check that reads no file any more.
    pub(super) fn forget(&mut self, id: u64) {
        let Some(watch) = self.watches.remove(&id) else { return };
        let Some(readers) = self.readers.get_mut(&watch) else { return };
        readers.remove(&id);
        if readers.is_empty() {
            self.readers.remove(&watch);
            if let Some(inotify) = &self.inotify {
                // One whose file is gone ended with it.
                let _ = remove_watch(inotify, watch);
            }
        }
    }

    /// The checks whose files have changed, each once, of as many changes as one read takes.
    pub(super) fn changed(&mut self) -> BTreeSet<u64> {
        let mut changed = BTreeSet::new();
        let Some(inotify) = &self.inotify else { return changed };
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(inotify, &mut room);
        while let Ok(event) = reader.next() {
            let (watch, gone) = (event.wd(), event.events().contains(ReadFlags::IGNORED));
            let readers = if gone { self.readers.remove(&watch) } else { self.readers.get(&watch).cloned() };
            for id in readers.into_iter().flatten() {
                if gone {
                    self.watches.remove(&id);
                }
                changed.insert(id);
            }
            if reader.is_buffer_empty() {
                break;
            }
        }
        changed
    }

    fn inotify(&mut self, epoll: &OwnedFd) -> Option<&OwnedFd> {
        if self.inotify.is_none() {
            let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
            epoll::add(epoll, &inotify, epoll::EventData::new_u64(TOKEN), epoll::EventFlags::IN).ok()?;
            self.inotify = Some(inotify);
        }
        self.inotify.as_ref()
    }
}
