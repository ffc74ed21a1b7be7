//! Whether everything is as it should be.

use std::time::{Duration, Instant};

use vrrp_net::lab::Host;

use super::host::Node;
use super::world::{World, addresses, expected_mac};

/// What is allowed beside Active_Down_Interval.
const GRACE: Duration = Duration::from_secs(1);

/// How long it must then stay as it is.
const STEADY: Duration = Duration::from_millis(300);

/// Waits until exactly one host has every address of each virtual router, and the client reaches it there. Returns how
/// long that took.
pub(crate) fn settled(world: &mut World, when: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let limit = world.active_down_interval + GRACE;
    let mut wrong = String::from("nothing was looked at");
    while began.elapsed() < limit {
        let looked = began.elapsed();
        match judge(world)? {
            None => {
                std::thread::sleep(STEADY);
                match judge(world)? {
                    None => return Ok(looked),
                    // A host of higher priority that has just returned takes over only now.
                    Some(later) => wrong = format!("right at first, but then {later}"),
                }
            }
            Some(now) => wrong = now,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let hosts =
        std::iter::once(("client", world.client.host())).chain(world.nodes.iter().map(|it| (it.name, &it.host)));
    let neighbors: Vec<String> =
        hosts.map(|(name, host)| format!("{name}'s neighbors:\n{}", neighbors(host))).collect();
    let logs: Vec<String> = world.nodes.iter().map(|node| format!("{}: {:#?}", node.name, node.log())).collect();
    anyhow::bail!("{limit:?} after {when}: {wrong}\n{}\n{}", neighbors.join("\n"), logs.join("\n"))
}

/// As people look at them; nothing if that cannot be had.
fn neighbors(host: &Host) -> String {
    let output = host.command("ip").args(["neighbor", "show"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// What is wrong now.
fn judge(world: &mut World) -> anyhow::Result<Option<String>> {
    let held = world.nodes.iter().map(Node::held).collect::<Result<Vec<_>, _>>()?;
    let World { nodes, client, .. } = world;
    let mut before: Option<(usize, &str)> = None;
    for (router, address) in addresses() {
        let has = |(_, held): &(&Node, &Vec<_>)| {
            held.iter().any(|found: &vrrp_net::netlink::InterfaceAddress| found.address == address)
        };
        let holders: Vec<&Node> = nodes.iter().zip(&held).filter(has).map(|(node, _)| node).collect();
        let only = match holders.as_slice() {
            [only] => only,
            [] => return Ok(Some(format!("nobody has {address}"))),
            several => {
                let names: Vec<&str> = several.iter().map(|node| node.name).collect();
                return Ok(Some(format!("{} have {address}", names.join(" and "))));
            }
        };
        if let Some((_, other)) = before.filter(|(of, holder)| *of == router && *holder != only.name) {
            return Ok(Some(format!("{address} is on {}, others of its virtual router on {other}", only.name)));
        }
        before = Some((router, only.name));
        let expected = expected_mac(router, address, only);
        match client.ask(address, Duration::from_millis(100))? {
            Some(mac) if mac == expected => {}
            Some(mac) => return Ok(Some(format!("the client has {address} at {mac:02x?}, not at {}", only.name))),
            None => return Ok(Some(format!("the client does not reach {address}, which is on {}", only.name))),
        }
    }
    Ok(None)
}
