//! The virtual router, on a thread of its own: whatever thousands of connections do, advertisements go out in time.

use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use vrrp_net::vrrp_core::track::{Impact, Tracked};
use vrrp_net::vrrp_core::{Role, RouterId};
use vrrp_net::{AsyncDriver, Driver, DriverEvent, Guardian, RouterConfig};

use crate::settings::Settings;

/// Checks that may be missing before the proxy counts as hung.
const MISSING_CHECKS: u32 = 5;

pub(super) struct Vrrp {
    serving: watch::Receiver<bool>,
    leave: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// What the thread works with.
struct Member {
    driver: Driver,
    router: RouterId,
    /// Which upstreams answer.
    health: watch::Receiver<Vec<bool>>,
    weight: i16,
    /// After how long without a check there is nobody any more who could serve.
    patience: Duration,
}

impl Vrrp {
    /// Starts the thread. The virtual router takes part in the election once an upstream answers.
    pub(super) fn start(
        mut driver: Driver,
        config: RouterConfig,
        settings: &Settings,
        health: watch::Receiver<Vec<bool>>,
    ) -> anyhow::Result<Self> {
        let router = driver.add(config).context("the virtual router")?;
        driver.set_tracked(router, tracked(&health.borrow(), settings.upstream_weight))?;
        driver.remove_leftovers()?;
        let patience = settings.check_interval() * MISSING_CHECKS;
        let member = Member { driver, router, health, weight: settings.upstream_weight, patience };
        let (tell, serving) = watch::channel(false);
        let (leave, told_to_leave) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        let thread = std::thread::Builder::new().name("vrrp".to_owned());
        let thread = thread.spawn(move || runtime.block_on(member.run(&tell, told_to_leave)));
        Ok(Self { serving, leave, thread: thread.context("cannot start a thread")? })
    }

    /// Whether this host is Active. It is closed when the virtual router has ended.
    pub(super) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.clone()
    }

    /// Hands the address over, and waits until that is done.
    pub(super) fn leave(self) -> anyhow::Result<()> {
        // A thread that has ended says why.
        let _ = self.leave.send(());
        self.thread.join().unwrap_or_else(|_| anyhow::bail!("the thread of the virtual router has panicked"))
    }
}

impl Member {
    async fn run(mut self, tell: &watch::Sender<bool>, mut told_to_leave: oneshot::Receiver<()>) -> anyhow::Result<()> {
        let mut driver = AsyncDriver::new(self.driver)?;
        let (mut leaving, mut hung) = (false, false);
        while !(leaving && driver.driver().is_idle()) {
            tokio::select! {
                event = driver.next_event() => {
                    let event = event?;
                    log(&event);
                    match event {
                        // The addresses are there by now, or gone.
                        DriverEvent::Transition { transition, .. } => {
                            tell.send_replace(transition.to == Role::Active);
                        }
                        DriverEvent::GuardianLost => driver.driver().set_guardian(Guardian::spawn()?)?,
                        _ => {}
                    }
                }
                report = next_report(&mut self.health, self.patience) => {
                    if let Some(up) = &report {
                        driver.driver().set_tracked(self.router, tracked(up, self.weight))?;
                    }
                    // This thread would hold the address for a proxy that does nothing.
                    if hung != report.is_none() && !leaving {
                        hung = report.is_none();
                        tracing::warn!("the proxy {}", if hung { "does not check its upstreams any more" } else { "is back" });
                        driver.driver().set_able(self.router, !hung)?;
                    }
                }
                // Also if nobody is left who could tell.
                _ = &mut told_to_leave, if !leaving => {
                    driver.driver().hand_over_all()?;
                    leaving = true;
                }
            }
        }
        driver.shutdown()?.iter().for_each(log);
        Ok(())
    }
}

/// Which upstreams answer, as of the next check; `None` if there is none for so long.
async fn next_report(health: &mut watch::Receiver<Vec<bool>>, patience: Duration) -> Option<Vec<bool>> {
    let changed = timeout(patience, health.changed()).await;
    matches!(changed, Ok(Ok(()))).then(|| health.borrow_and_update().clone())
}

/// Each upstream that does not answer costs priority, so that the host with the most of them serves. A host without any is
/// out of the election.
fn tracked(up: &[bool], weight: i16) -> Vec<Tracked> {
    let watched = |impact, up| Tracked { impact, inverted: false, up };
    let each = up.iter().map(|up| watched(Impact::Weight(weight), *up));
    each.chain([watched(Impact::Fault, up.contains(&true))]).collect()
}

fn log(event: &DriverEvent) {
    match event {
        DriverEvent::Transition { .. } => tracing::info!("{event}"),
        _ => tracing::warn!("{event}"),
    }
}

#[cfg(test)]
mod tests {
    use vrrp_net::vrrp_core::Priority;
    use vrrp_net::vrrp_core::track::{Assessment, assess};

    use super::*;

    #[test]
    fn each_upstream_that_is_down_costs_priority_and_none_at_all_is_a_fault() {
        let assess = |up: &[bool]| assess(Priority::DEFAULT, tracked(up, -30));
        let stands = |priority| Assessment { priority: Priority::new(priority).unwrap(), fault: false };
        assert_eq!(assess(&[true, true, true]), stands(100));
        assert_eq!(assess(&[true, false, true]), stands(70));
        assert_eq!(assess(&[false, false, true]), stands(40));
        assert!(assess(&[false, false, false]).fault);
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_whose_checks_stand_still_counts_as_hung_until_the_next_one() {
        let (check, mut health) = watch::channel(vec![false]);
        let patience = Duration::from_secs(5);
        check.send_replace(vec![true]);
        assert_eq!(next_report(&mut health, patience).await, Some(vec![true]));
        assert_eq!(next_report(&mut health, patience).await, None);
        // Also one that says the same.
        check.send_replace(vec![true]);
        assert_eq!(next_report(&mut health, patience).await, Some(vec![true]));
    }
}
