//! Who is told of changes: programs, one after the other for each object.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::config::{Command, Notify};
use super::process::{JobId, Outcome, Runner};

/// How many programs wait for one that hangs. What is told after that is told in place of the oldest.
const LONGEST_QUEUE: usize = 64;

/// What an object has become, in keepalived's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Active,
    Backup,
    Fault,
    Stop,
    Deleted,
}

impl Told {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Active => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
        }
    }
}

/// Something whose programs run one after the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Instance(String),
    Group(String),
    VirtualServer(String),
}

impl Object {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Instance(_) => "INSTANCE",
            Self::Group(_) => "GROUP",
            Self::VirtualServer(_) => "VS",
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Instance(name) | Self::Group(name) | Self::VirtualServer(name) => name,
        }
    }
}

/// The queues of all objects.
#[derive(Debug)]
pub(super) struct Notifier {
    queues: BTreeMap<Object, Queue>,
    /// How long one program may run.
    pub(super) timeout: Duration,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Command, Vec<String>)>,
    running: Option<(JobId, Command)>,
}

impl Notifier {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self { queues: BTreeMap::new(), timeout }
    }

    /// The programs of `notify` for this: the one for the state, then the one for all.
    pub(super) fn tell(&mut self, object: &Object, notify: &Notify, told: Told, priority: u8) {
        let special = match told {
            Told::Active => notify.active.as_ref(),
            Told::Backup => notify.backup.as_ref(),
            Told::Fault => notify.fault.as_ref(),
            Told::Stop => notify.stop.as_ref(),
            Told::Deleted => notify.deleted.as_ref().and_then(Option::as_ref),
        };
        if let Some(command) = special {
            self.push(object, command, Vec::new());
        }
        if let Some(command) = &notify.any {
            let words = [object.kind(), object.name(), told.word(), &priority.to_string()];
            self.push(object, command, words.map(str::to_owned).to_vec());
        }
    }

    /// One more program, with these arguments behind its own.
    pub(super) fn push(&mut self, object: &Object, command: &Command, more: Vec<String>) {
        let queue = self.queues.entry(object.clone()).or_default();
        if queue.waiting.len() >= LONGEST_QUEUE
            && let Some((dropped, words)) = queue.waiting.pop_front()
        {
            let words = words.join(" ");
            let hangs = queue.running.as_ref().map(|(_, command)| command.to_string()).unwrap_or_default();
            tracing::error!(
                object = object.name(),
                "{dropped} {words} is not run: {LONGEST_QUEUE} notifications wait for {hangs}"
            );
        }
        queue.waiting.push_back((command.clone(), more));
    }

    /// Starts those whose turn it is.
    pub(super) fn start(&mut self, runner: &mut Runner) {
        self.queues.retain(|_, queue| {
            if queue.running.is_none()
                && let Some((command, more)) = queue.waiting.pop_front()
            {
                let job = runner.start(&command, &more, Some(self.timeout));
                queue.running = Some((job, command));
            }
            queue.running.is_some()
        });
    }

    /// A job has used up its time. Whether it was one of these.
    pub(super) fn late(&self, job: JobId) -> bool {
        let Some((object, command)) = self.running(job) else { return false };
        tracing::error!(object = object.name(), "{command} did not end within {:?}: it is ended", self.timeout);
        true
    }

    /// A job has ended. Whether it was one of these.
    pub(super) fn ended(&mut self, job: JobId, outcome: &Outcome) -> bool {
        let Some((object, command)) = self.running(job) else { return false };
        let (object, name) = (object.clone(), object.name());
        match &outcome.failure {
            Some(failure) => tracing::error!(object = name, "{command}: {failure}"),
            None => tracing::debug!(object = name, "{command} has run"),
        }
        for line in outcome.output.lines() {
            tracing::info!(object = name, "{command}: {line}");
        }
        if let Some(queue) = self.queues.get_mut(&object) {
            queue.running = None;
        }
        true
    }

    /// Whether nobody is left to be told.
    pub(super) fn is_idle(&self) -> bool {
        self.queues.values().all(|queue| queue.running.is_none() && queue.waiting.is_empty())
    }

    /// What is not run any more because there is no time for it.
    pub(super) fn left(&self) -> Vec<String> {
        let texts = self.queues.values().flat_map(|queue| {
            let running = queue.running.iter().map(|(_, command)| command.to_string());
            running.chain(queue.waiting.iter().map(|(command, more)| format!("{command} {}", more.join(" "))))
        });
        texts.collect()
    }

    fn running(&self, job: JobId) -> Option<(&Object, &Command)> {
        let mut running = self.queues.iter().filter_map(|(object, queue)| Some((object, queue.running.as_ref()?)));
        running.find(|(_, (id, _))| *id == job).map(|(object, (_, command))| (object, command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_behind_a_program_that_hangs_is_bounded_and_keeps_the_newest() {
        let mut notifier = Notifier::new(Duration::from_secs(60));
        let object = Object::Instance("x".to_owned());
        let command = Command::from_words(["true".to_owned()]).unwrap();
        for number in 0..LONGEST_QUEUE + 10 {
            notifier.push(&object, &command, vec![number.to_string()]);
        }
        let left = notifier.left();
        assert_eq!(left.len(), LONGEST_QUEUE);
        assert_eq!((left[0].as_str(), left[LONGEST_QUEUE - 1].as_str()), ("true 10", "true 73"));
    }
}
