//! Whether a configuration makes sense.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Config, Track, Watched};

/// A configuration that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A command that cannot be one.
    #[error("command: {0}")]
    Command(String),
    /// Two of one name.
    #[error("{what} {name:?} is there twice: give each a name of its own")]
    NameTwice {
        /// What they are.
        what: &'static str,
        /// Their name.
        name: String,
    },
    /// A name that nothing has.
    #[error("{by} names {what}, which is not there (there is: {})", if .have.is_empty() { "none" } else { .have.as_str() })]
    Unknown {
        /// Who names it.
        by: String,
        /// What it is.
        what: String,
        /// Those that there are.
        have: String,
    },
    /// A virtual router in two groups.
    #[error("virtual router {router:?} is in two groups, {one:?} and {other:?}: it has one election only")]
    TwoGroups {
        /// Which virtual router.
        router: String,
        /// The first group.
        one: String,
        /// The second.
        other: String,
    },
    /// A number out of its range.
    #[error("{of}: {what} must be {range}")]
    Range {
        /// Where it is.
        of: String,
        /// Which it is.
        what: &'static str,
        /// What would be right.
        range: &'static str,
    },
}

impl Config {
    /// Whether it makes sense: names are unique, and lead somewhere. What the driver and the director would refuse is not
    /// looked at.
    ///
    /// # Errors
    /// [`ConfigError`], with the name.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let routers = unique("virtual router", self.routers.iter().map(|it| it.name.as_str()))?;
        unique("group", self.groups.iter().map(|it| it.name.as_str()))?;
        let scripts = unique("script", self.scripts.iter().map(|it| it.name.as_str()))?;
        let files = unique("file", self.files.iter().map(|it| it.name.as_str()))?;
        let processes = unique("process", self.processes.iter().map(|it| it.name.as_str()))?;
        for script in &self.scripts {
            let range = |what, range| ConfigError::Range { of: format!("script {:?}", script.name), what, range };
            if script.rise == 0 || script.fall == 0 {
                return Err(range("rise and fall", "1 or more"));
            }
            if script.interval < Duration::from_millis(10) || script.timeout.is_some_and(|timeout| timeout.is_zero()) {
                return Err(range("interval and timeout", "10 ms or more"));
            }
        }
        let tracked = |by: String, tracks: &[Track]| {
            tracks.iter().try_for_each(|track| match &track.what {
                Watched::Script(name) => known(&by, "script", name, &scripts),
                Watched::File(name) => known(&by, "file", name, &files),
                Watched::Process(name) => known(&by, "process", name, &processes),
            })
        };
        for router in &self.routers {
            tracked(format!("virtual router {:?}", router.name), &router.tracks)?;
        }
        let mut grouped: Vec<(&str, &str)> = Vec::new();
        for group in &self.groups {
            let by = format!("group {:?}", group.name);
            tracked(by.clone(), &group.tracks)?;
            for member in &group.members {
                known(&by, "virtual router", member, &routers)?;
                if let Some((_, one)) = grouped.iter().find(|(router, _)| router == member) {
                    let (router, one, other) = (member.clone(), (*one).to_owned(), group.name.clone());
                    return Err(ConfigError::TwoGroups { router, one, other });
                }
                grouped.push((member, &group.name));
            }
        }
        let director = self.director.iter().flat_map(|director| &director.routers);
        director.into_iter().try_for_each(|name| known("the director", "virtual router", name, &routers))
    }
}

fn unique<'n>(what: &'static str, names: impl Iterator<Item = &'n str>) -> Result<BTreeSet<&'n str>, ConfigError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ConfigError::NameTwice { what, name: name.to_owned() });
        }
    }
    Ok(seen)
}

fn known(by: &str, what: &str, name: &str, have: &BTreeSet<&str>) -> Result<(), ConfigError> {
    if have.contains(name) {
        return Ok(());
    }
    let have = have.iter().copied().collect::<Vec<_>>().join(", ");
    Err(ConfigError::Unknown { by: by.to_owned(), what: format!("{what} {name:?}"), have })
}

#[cfg(test)]
mod tests {
    use vrrp_net::RouterConfig;
    use vrrp_net::vrrp_core::{Priority, Vrid};

    use super::*;
    use crate::daemon::config::{Command, Effect, Group, Router, Script, Task};

    fn words(text: &str) -> Result<Command, ConfigError> {
        Command::from_words(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_redirection_from_a_port_is_a_connection() {
        let connect = |host: &str, port| Task::Connect { host: host.to_owned(), port };
        assert_eq!(words("</dev/tcp/127.0.0.1/80").unwrap().task, connect("127.0.0.1", 80));
        assert_eq!(words("< /dev/tcp/::1/443").unwrap().task, connect("::1", 443));
        for text in ["", "</dev/tcp/", "</dev/tcp/host/0", "</dev/tcp/host/port", "</etc/passwd", "<"] {
            assert!(words(text).is_err(), "{text:?}");
        }
        let run = words("killall -0 memcached").unwrap();
        assert_eq!((run.to_string().as_str(), run.user), ("killall -0 memcached", None));
    }

    #[test]
    fn reverse_changes_the_sign_of_a_weight_as_in_keepalived() {
        use vrrp_net::vrrp_core::track::assess;
        let priority = |weight, reverse, up| {
            let tracked = Effect::weight(weight, reverse).tracked(up);
            assess(Priority::DEFAULT, [tracked]).priority.get()
        };
        assert_eq!([priority(10, false, true), priority(10, false, false)], [110, 100]);
        assert_eq!([priority(-10, false, true), priority(-10, false, false)], [100, 90]);
        assert_eq!([priority(10, true, true), priority(10, true, false)], [90, 100]);
        assert_eq!([priority(-10, true, true), priority(-10, true, false)], [100, 110]);
        let fault = |reverse, up| assess(Priority::DEFAULT, [Effect::weight(0, reverse).tracked(up)]).fault;
        assert_eq!([fault(false, true), fault(false, false), fault(true, true)], [false, true, true]);
    }

    #[test]
    fn names_are_unique_and_lead_somewhere() {
        let router = |name: &str| Router::new(name, RouterConfig::new("eth0", Vrid::new(51).unwrap(), Vec::new()));
        let group = |name: &str| Group { name: name.to_owned(), members: vec!["a".to_owned()], ..Group::default() };
        let valid = Config { routers: vec![router("a"), router("b")], groups: vec![group("g")], ..Config::default() };
        assert_eq!(valid.validate(), Ok(()));
        let error = |change: &dyn Fn(&mut Config)| {
            let mut config = valid.clone();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(error(&|it| it.routers.push(router("a"))).contains("virtual router \"a\" is there twice"));
        assert!(error(&|it| it.groups.push(group("h"))).contains("in two groups, \"g\" and \"h\""));
        assert!(
            error(&|it| it.groups[0].members.push("c".to_owned()))
                .contains("virtual router \"c\", which is not there (there is: a, b)")
        );
        let track = Track { what: Watched::Script("s".to_owned()), effect: None };
        assert!(
            error(&|it| it.routers[0].tracks.push(track.clone()))
                .contains("script \"s\", which is not there (there is: none)")
        );
        let script = Script { rise: 0, ..Script::new("s", words("true").unwrap()) };
        assert!(error(&|it| it.scripts.push(script.clone())).contains("rise and fall must be 1 or more"));
    }
}
