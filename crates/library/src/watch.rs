//! Hints from the system that something in the game directory changed. The only module that names `notify`.
//!
//! One watch on the game directory and one on each game root, none of them recursive: a payload of 100,000
//! folders would eat every watch the system has. Reading is no change: `notify` reports opens and closes on
//! Linux, and our own hashing would wake us for ever.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    mem,
    path::{self, Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use notify::{
    ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{ModifyKind, RemoveKind},
};
use tokio::sync::Notify;

/// What was reported since it was last taken; folds any number of events into a few names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Events were lost, or could not be understood: look at everything.
    pub(crate) everything: bool,
    /// A folder came, went or was renamed.
    pub(crate) root: bool,
    /// Folders in which something changed.
    pub(crate) folders: BTreeSet<OsString>,
    /// Folders that came or went, so that a watch on that name may have ended.
    replaced: BTreeSet<OsString>,
}

impl Hints {
    fn note(&mut self, game_dir: &Path, event: &Event) {
        if event.need_rescan() {
            self.everything = true;
        }
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        for path in &event.paths {
            let Ok(inside) = path.strip_prefix(game_dir) else {
                self.everything = true;
                continue;
            };
            let mut names = inside.components().filter_map(|component| match component {
                Component::Normal(name) => Some(name),
                _ => None,
            });
            match (names.next(), names.next()) {
                (None, _) => self.root = true,
                (Some(folder), None) => self.note_folder(folder, event.kind),
                (Some(folder), Some(_)) => {
                    self.folders.insert(folder.to_owned());
                }
            }
        }
    }

    fn note_folder(&mut self, folder: &OsStr, kind: EventKind) {
        self.root = true;
        self.folders.insert(folder.to_owned());
        let replaced = matches!(
            kind,
            EventKind::Create(_)
                | EventKind::Remove(RemoveKind::Any | RemoveKind::Folder | RemoveKind::Other)
                | EventKind::Modify(ModifyKind::Name(_))
        );
        if replaced {
            self.replaced.insert(folder.to_owned());
        }
    }
}

/// Where the watcher's own thread leaves its hints.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    hints: Mutex<Hints>,
    pub(crate) arrived: Notify,
}

impl Inbox {
    /// Takes what came; which watches ended stays for [`Watches::sync`].
    pub(crate) fn take(&self) -> Hints {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = mem::take(&mut hints.replaced);
        mem::replace(
            &mut *hints,
            Hints {
                replaced,
                ..Hints::default()
            },
        )
    }

    fn take_replaced(&self) -> BTreeSet<OsString> {
        mem::take(
            &mut self
                .hints
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .replaced,
        )
    }

    fn receive(&self, game_dir: &Path, event: &notify::Result<Event>) {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(event) => hints.note(game_dir, event),
            Err(error) => {
                tracing::debug!(%error, "the watcher reports an error");
                hints.everything = true;
            }
        }
        let empty = *hints == Hints::default();
        drop(hints);
        if !empty {
            self.arrived.notify_one();
        }
    }
}

/// The watches that exist.
#[derive(Debug)]
pub(crate) struct Watches {
    game_dir: PathBuf,
    inbox: Arc<Inbox>,
    /// `None` where the system gives no watcher at all.
    watcher: Option<RecommendedWatcher>,
    root: bool,
    folders: BTreeSet<OsString>,
}

impl Watches {
    /// A watcher that watches nothing yet. Without one the periodic scan does all the work.
    pub(crate) fn new(game_dir: &Path, inbox: Arc<Inbox>) -> Self {
        // Notices name absolute paths.
        let game_dir = path::absolute(game_dir).unwrap_or_else(|_| game_dir.to_owned());
        let (dir, receiver) = (game_dir.clone(), Arc::clone(&inbox));
        let watcher = notify::recommended_watcher(move |event| receiver.receive(&dir, &event));
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "no notices of changes from the system"))
            .ok();
        Self {
            game_dir,
            inbox,
            watcher,
            root: false,
            folders: BTreeSet::new(),
        }
    }

    /// Watches the game directory; a watch must be there before the look, or what comes between is missed.
    pub(crate) fn watch_root(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        if !self.root {
            match watcher.watch(&self.game_dir, RecursiveMode::NonRecursive) {
                Ok(()) => self.root = true,
                Err(error) => tracing::warn!(%error, "cannot watch the game directory"),
            }
        }
    }

    /// Watches exactly these folders of the game directory. Gives back which are new, and how many the system
    /// has no watch for.
    pub(crate) fn sync(&mut self, wanted: &BTreeSet<OsString>) -> (Vec<OsString>, usize) {
        let Some(watcher) = &mut self.watcher else {
            return (Vec::new(), 0);
        };
        let replaced = self.inbox.take_replaced();
        let ended = |name: &OsString| !wanted.contains(name) || replaced.contains(name);
        for name in self.folders.extract_if(.., |name| ended(name)) {
            // The watch ended by itself if the folder went away.
            watcher.unwatch(&self.game_dir.join(name)).ok();
        }
        let mut new = Vec::new();
        let mut without = 0;
        for name in wanted.difference(&self.folders) {
            match watcher.watch(&self.game_dir.join(name), RecursiveMode::NonRecursive) {
                Ok(()) => new.push(name.clone()),
                Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => without += 1,
                Err(error) => tracing::debug!(%error, ?name, "cannot watch a folder"),
            }
        }
        self.folders.extend(new.iter().cloned());
        (new, without)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
mod tests {
    use notify::event::{AccessKind, CreateKind, DataChange, Flag};

    use super::*;

    fn hints(kind: EventKind, path: &str) -> Hints {
        let inbox = Inbox::default();
        inbox.receive(
            Path::new("/games"),
            &Ok(Event::new(kind).add_path(path.into())),
        );
        inbox.take()
    }

    fn names(names: &[&str]) -> BTreeSet<OsString> {
        names.iter().map(OsString::from).collect()
    }

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));

    #[test]
    fn an_event_makes_its_folder_dirty() {
        assert_eq!(
            hints(WRITTEN, "/games/doom/version.ini"),
            Hints {
                folders: names(&["doom"]),
                ..Hints::default()
            }
        );
        assert_eq!(
            hints(EventKind::Create(CreateKind::Folder), "/games/doom"),
            Hints {
                root: true,
                folders: names(&["doom"]),
                ..Hints::default()
            }
        );
        assert!(hints(WRITTEN, "/games").root);
    }

    #[test]
    fn reading_is_no_change() {
        let read = EventKind::Access(AccessKind::Any);
        assert_eq!(hints(read, "/games/doom/data.pak"), Hints::default());
    }

    #[test]
    fn what_is_not_understood_makes_everything_dirty() {
        assert!(hints(WRITTEN, "/elsewhere/doom").everything);
        let inbox = Inbox::default();
        inbox.receive(Path::new("/games"), &Err(notify::Error::path_not_found()));
        assert!(inbox.take().everything);
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        inbox.receive(Path::new("/games"), &Ok(overflow));
        assert!(inbox.take().everything);
        assert_eq!(inbox.take(), Hints::default());
    }

    #[test]
    fn a_folder_that_was_replaced_is_watched_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("doom")).unwrap();
        let inbox = Arc::new(Inbox::default());
        let mut watches = Watches::new(dir.path(), Arc::clone(&inbox));
        let wanted = names(&["doom"]);
        assert_eq!(watches.sync(&wanted).0, ["doom"]);
        assert!(watches.sync(&wanted).0.is_empty());
        let moved = EventKind::Modify(ModifyKind::Any);
        let created = EventKind::Create(CreateKind::Folder);
        for (kind, again) in [(moved, 0), (created, 1)] {
            let event = Event::new(kind).add_path(dir.path().join("doom"));
            inbox.receive(dir.path(), &Ok(event));
            inbox.take();
            assert_eq!(watches.sync(&wanted).0.len(), again, "{kind:?}");
        }
    }
    #[tokio::test]
    async fn a_game_directory_may_be_named_from_where_we_stand() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("doom")).unwrap();
        let here = std::env::current_dir().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let relative = up.join(dir.path().strip_prefix("/").unwrap());
        let inbox = Arc::new(Inbox::default());
        let mut watches = Watches::new(&relative, Arc::clone(&inbox));
        watches.sync(&names(&["doom"]));
        std::fs::write(dir.path().join("doom/version.ini"), "1").unwrap();
        let arrived = inbox.arrived.notified();
        tokio::time::timeout(std::time::Duration::from_secs(20), arrived)
            .await
            .unwrap();
        let expected = Hints {
            folders: names(&["doom"]),
            ..Hints::default()
        };
        assert_eq!(inbox.take(), expected);
    }
}
