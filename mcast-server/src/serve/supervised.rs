//! What systemd is told while the server runs: that it is alive, and in a line what it does.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

use super::content::ImageState;
use super::point::Point;

/// Between two looks, where no watchdog asks for more.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until it is dropped; ends at once where there is no systemd.
///
/// A sign of life is given only after a turn through the pool of threads that all file and database work goes
/// through: a server whose tasks or threads are all stuck gives none, and is started anew (`WatchdogSec=`).
pub(crate) async fn run(point: Arc<Point>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    // Twice as often as is asked for, as sd_watchdog_enabled(3) recommends.
    let asked = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let mut ticks = tokio::time::interval(asked.map_or(LOOK_INTERVAL, |asked| asked.min(LOOK_INTERVAL)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let looking = point.clone();
        let Ok(status) = tokio::task::spawn_blocking(move || status(&looking)).await else { continue };
        if asked.is_some() {
            // systemd acts if it hears nothing.
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
        if status != told {
            let _ = sd_notify::notify(&[NotifyState::Status(&status)]);
            told = status;
        }
    }
}

/// What `systemctl status` shows.
fn status(point: &Point) -> String {
    let images = point.catalogue.all();
    let ready = images.iter().filter(|image| matches!(image.state, ImageState::Ready(_))).count();
    let sessions = point.running();
    let clients: u32 = sessions.iter().map(|session| session.active).sum();
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    format!(
        "{ready} of {} ready, {}, {}",
        count(images.len(), "image"),
        count(sessions.len(), "session"),
        count(clients as usize, "active client")
    )
}
