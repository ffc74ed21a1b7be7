//! What happens to the hosts, in order.

use std::time::Duration;

use vrrp_net::lab::longest_gap;
use vrrp_net::now;
use vrrp_net::vrrp_core::Interval;

use crate::cluster::Cluster;
use crate::report::Outcome;

/// Hosts by number: `A` has the highest priority, `C` the lowest.
const A: usize = 0;
const B: usize = 1;

/// How long is waited for a takeover beyond its bound before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long is waited for a kernel to take back the address of a dead process. Its lifetime is two seconds or more, and
/// a kernel whose processors are asleep is in no hurry.
const LEASE_PATIENCE: Duration = Duration::from_secs(30);

/// What a takeover is measured against.
#[derive(Clone, Copy)]
struct Expectation {
    what: &'static str,
    from: usize,
    to: usize,
    bound: Duration,
    bound_name: &'static str,
    /// The roles of the three hosts in the end.
    roles: [&'static str; 3],
}

/// Runs the scenarios one after the other.
///
/// # Errors
/// What keeps the demonstration from being run at all; a takeover that fails is an outcome.
pub(crate) fn run_all(interval: Interval, to_stderr: bool) -> anyhow::Result<Vec<Outcome>> {
    let mut cluster = Cluster::new(interval, to_stderr)?;
    let down = |cluster: &Cluster, n| cluster.params(n).active_down_interval(interval);
    let (a_down, b_down) = (down(&cluster, A), down(&cluster, B));
    let b_skew = cluster.params(B).skew_time(interval);
    let settle = down(&cluster, 2) + PATIENCE;
    let healthy = ["Active", "Backup", "Backup"];
    let without_a = ["down", "Active", "Backup"];
    let mut outcomes = Vec::new();

    cluster.announce("Three hosts start: a (priority 200), b (100), c (10).");
    (0..3).try_for_each(|n| cluster.start(n, false))?;
    cluster.wait_for_roles(healthy, settle)?;

    let takeover = |what, bound, bound_name, roles| Expectation { what, from: A, to: B, bound, bound_name, roles };
    let comeback =
        |what| Expectation { what, from: B, to: A, bound: a_down, bound_name: "Active_Down_Interval", roles: healthy };

    let expected = takeover("the Active is killed (SIGKILL)", b_down, "Active_Down_Interval", without_a);
    outcomes.push(measure(&mut cluster, expected, |cluster| cluster.kill(A))?);

    let expected = comeback("a higher priority returns, preempt");
    outcomes.push(measure(&mut cluster, expected, |cluster| cluster.start(A, false))?);

    let expected = takeover("the Active is stopped (SIGTERM)", b_skew, "Skew_Time", without_a);
    outcomes.push(measure(&mut cluster, expected, |cluster| cluster.terminate(A))?);

    cluster.announce("Host a is started again.");
    cluster.start(A, false)?;
    cluster.wait_for_roles(healthy, settle)?;

    let alone = ["Initialize", "Active", "Backup"];
    let expected = takeover("the Active's cable is cut", b_down, "Active_Down_Interval", alone);
    outcomes.push(measure(&mut cluster, expected, |cluster| cluster.cut(A))?);

    let expected = comeback("the cable is plugged in again");
    outcomes.push(measure(&mut cluster, expected, |cluster| cluster.heal(A))?);

    cluster.announce("The hosts are started anew, without preemption.");
    for n in (0..3).rev() {
        cluster.terminate(n)?;
        cluster.reap(n)?;
    }
    cluster.start(A, true)?;
    cluster.wait_for_roles(["Active", "down", "down"], settle)?;
    cluster.start(B, true)?;
    cluster.start(2, true)?;
    cluster.wait_for_roles(healthy, settle)?;

    let expected = takeover("the Active is killed, nopreempt", b_down, "Active_Down_Interval", without_a);
    outcomes.push(measure(&mut cluster, expected, |cluster| cluster.kill(A))?);
    outcomes.push(stay(&mut cluster, 2 * a_down)?);
    Ok(outcomes)
}

/// Does something to the cluster and measures what follows.
fn measure(
    cluster: &mut Cluster,
    expected: Expectation,
    act: impl FnOnce(&mut Cluster) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let Expectation { what, from, to, bound, bound_name, roles } = expected;
    cluster.announce(&format!("{}: {what}.", cluster.name(if to == A { A } else { from })));
    let began = now();
    let release = cluster.watch_release(from, LEASE_PATIENCE);
    act(cluster)?;
    let answered = cluster.wait_for_answer(to, began, bound + PATIENCE);
    let outage = longest_gap(&cluster.replies(), began, now());
    while !release.is_finished() {
        cluster.watch(Duration::from_millis(1));
    }
    let released = release.join().ok().flatten();
    if roles[from] == "down" {
        cluster.reap(from)?;
    }
    let settled = cluster.wait_for_roles(roles, bound + PATIENCE).is_ok();
    Ok(Outcome {
        what,
        from: cluster.name(from),
        to: cluster.name(to),
        takeover: answered.map(|at| at.since(began)),
        bound: Some(bound),
        bound_name,
        outage: Some(outage),
        released: released.map(|at| at.since(began)),
        one_holder: settled && holders(cluster)? == [to],
    })
}

/// Brings the host with the highest priority back without preemption, and watches that the address stays where it is.
fn stay(cluster: &mut Cluster, duration: Duration) -> anyhow::Result<Outcome> {
    let what = "a higher priority returns, nopreempt";
    cluster.announce(&format!("a: {what}."));
    let began = now();
    cluster.start(A, true)?;
    cluster.watch(duration);
    let taken = cluster.wait_for_answer(A, began, Duration::ZERO);
    let settled = cluster.wait_for_roles(["Backup", "Active", "Backup"], PATIENCE).is_ok();
    Ok(Outcome {
        what,
        from: cluster.name(B),
        to: cluster.name(B),
        takeover: taken.map(|at| at.since(began)),
        bound: None,
        bound_name: "",
        outage: Some(longest_gap(&cluster.replies(), began, now())),
        released: None,
        one_holder: settled && holders(cluster)? == [B],
    })
}

/// The hosts whose kernel has the address.
fn holders(cluster: &Cluster) -> anyhow::Result<Vec<usize>> {
    let mut holders = Vec::new();
    for n in 0..3 {
        if cluster.holds_address(n)? {
            holders.push(n);
        }
    }
    Ok(holders)
}
