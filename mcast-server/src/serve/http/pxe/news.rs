//! Tells who listens how far bare machines are, as they boot.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::views::BootingView;
use crate::serve::point::{News, Point};
use crate::serve::pxe::Running;

/// Between two messages: a room that starts at once sends hundreds of requests a second.
const INTERVAL: Duration = Duration::from_millis(500);

/// Tells it until `stop` says true.
pub(crate) async fn tell(point: Arc<Point>, here: Arc<Running>, mut stop: watch::Receiver<bool>) {
    let mut told = SystemTime::now();
    loop {
        tokio::select! {
            () = here.told().notified() => {}
            _ = stop.wait_for(|stops| *stops) => return,
        }
        tokio::time::sleep(INTERVAL).await;
        let all = here.point.booting();
        let Some(last) = all.first().map(|first| first.last) else { continue };
        if point.is_watched() {
            let site = here.site();
            let fresh = all.iter().take_while(|machine| machine.last > told);
            let machines: Vec<_> = fresh.map(|machine| BootingView::of(machine, &site)).collect();
            if !machines.is_empty() {
                point.tell(News::Boots { server: point.settings().server.name.clone(), machines });
            }
        }
        told = last;
    }
}
