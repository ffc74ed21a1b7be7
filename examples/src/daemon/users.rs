//! Users by name.

use std::process::{Command, Stdio};

use anyhow::Context;

use super::config::User;

/// The user that checks and notifications run as where nobody is named, if there is one.
pub const DEFAULT_USER: &str = "keepalived_script";

/// The user of this name, or of this number, with the group of this name or number; without one, with its own.
///
/// # Errors
/// There is none; or a number was given without a group that belongs to it.
pub fn user(name: &str, group: Option<&str>) -> anyhow::Result<User> {
    let entry = entry("passwd", name);
    let field = |number: usize| entry.as_deref().and_then(|entry| entry.split(':').nth(number)?.parse::<u32>().ok());
    let uid = field(2).or_else(|| name.parse().ok());
    let uid = uid.with_context(|| format!("there is no user {name:?} on this host"))?;
    let gid = match group {
        Some(group) => self::group(group)?,
        None => field(3).with_context(|| format!("user {name} is no user of this host: name its group too"))?,
    };
    Ok(User { uid, gid })
}

fn group(name: &str) -> anyhow::Result<u32> {
    let entry = entry("group", name);
    let gid = entry.as_deref().and_then(|entry| entry.split(':').nth(2)?.parse().ok());
    gid.or_else(|| name.parse().ok()).with_context(|| format!("there is no group {name:?} on this host"))
}

/// The line of a database, from its file or from whatever else this host asks.
fn entry(database: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/etc/{database}")).unwrap_or_default();
    let is_wanted = |line: &&str| line.split(':').next() == Some(name);
    if let Some(line) = text.lines().find(is_wanted) {
        return Some(line.to_owned());
    }
    let asked =
        Command::new("getent").args([database, name]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(asked.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_its_own_group_unless_another_is_named() {
        assert_eq!(user("root", None).unwrap(), User { uid: 0, gid: 0 });
        assert_eq!(user("root", Some("12345")).unwrap(), User { uid: 0, gid: 12345 });
        assert_eq!(user("4000000", Some("root")).unwrap(), User { uid: 4_000_000, gid: 0 });
        assert!(user("nobody-at-all", None).unwrap_err().to_string().contains("no user \"nobody-at-all\""));
        assert!(user("4000000", None).unwrap_err().to_string().contains("name its group"));
        assert!(user("root", Some("no-group-at-all")).unwrap_err().to_string().contains("no group"));
    }
}
