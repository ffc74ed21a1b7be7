//! Whether everything is as it should be.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::world::{Node, World};

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
        match judge(world)? {
            Ok(()) => {
                let took = began.elapsed();
                std::thread::sleep(STEADY);
                match judge(world)? {
                    Ok(()) => return Ok(took),
                    Err(later) => wrong = format!("right at first, but then {later}"),
                }
            }
            Err(now) => wrong = now,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let logs: Vec<String> = world.nodes.iter().map(|node| format!("{}: {:#?}", node.name, node.log())).collect();
    anyhow::bail!("{limit:?} after {when}: {wrong}\n{}", logs.join("\n"))
}

fn judge(world: &World) -> anyhow::Result<Result<(), String>> {
    let held = world.nodes.iter().map(Node::holds).collect::<Result<Vec<_>, _>>()?;
    for address in World::addresses() {
        let holders: Vec<&Node> =
            world.nodes.iter().zip(&held).filter(|(_, held)| held.contains(&address)).map(|(node, _)| node).collect();
        match holders.as_slice() {
            [only] if reaches(world, address, only)? => {}
            [only] => return Ok(Err(format!("the client does not reach {address} at {}", only.name))),
            [] => return Ok(Err(format!("nobody has {address}"))),
            several => {
                let names: Vec<&str> = several.iter().map(|node| node.name).collect();
                return Ok(Err(format!("{} have {address}", names.join(" and "))));
            }
        }
    }
    Ok(Ok(()))
}

/// Whether the host that answers the client is this one.
fn reaches(world: &World, address: Ipv4Addr, node: &Node) -> anyhow::Result<bool> {
    let pinger = world.client.ping(address, Duration::from_millis(5))?;
    let answer = pinger.wait_for(Duration::from_millis(100), |reply| reply.received_at.is_some());
    Ok(answer.is_some_and(|reply| reply.mac == Some(node.cable.mac())))
}
