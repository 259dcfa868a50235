//! Rooms too large to move every symbol: what a session of thousands costs, and that the crowd is
//! worth believing.

use std::time::{Duration, Instant};

use multicast_core::layout::{DEFAULT_SYMBOL_SIZE, FileEntry, Geometry, Layout};
use multicast_core::sim::{
    Crowd, CrowdConfig, CrowdFigures, LinkModel, Member, Room, RoomConfig, coded_repair,
};

const SEED: u64 = 11;

fn layout(size: u64) -> Layout {
    let geometry = Geometry::for_size(size, DEFAULT_SYMBOL_SIZE);
    Layout::new(geometry, vec![FileEntry { name: "image".into(), size }]).expect("usual sizes")
}

/// Runs it and prints what it came to, without the clients.
fn run(config: CrowdConfig) -> CrowdFigures {
    let started = Instant::now();
    let figures = Crowd::new(config).run();
    println!("in {:.1} s: {:#?}", started.elapsed().as_secs_f64(), CrowdFigures { completions: vec![], ..figures.clone() });
    assert!(figures.all_complete(), "seed {SEED}");
    figures
}

fn ten_thousand_clients_get(size: u64) {
    let config = CrowdConfig { delay: Duration::from_millis(2), ..CrowdConfig::new(SEED, layout(size), 10_000, 0.005) };
    let bound = coded_repair(1024, 10_000, 0.005);
    let figures = run(config);
    println!("bound {bound:.4}, sent by bound {:.4}, time by bound {:.4}", figures.sent_ratio / bound, figures.time_ratio / bound);
}

#[test]
fn ten_thousand_clients_small() {
    ten_thousand_clients_get(1 << 30);
}

#[test]
#[ignore]
fn ten_thousand_clients_large() {
    ten_thousand_clients_get(16 << 30);
}

#[test]
fn the_crowd_agrees_with_the_exact_room() {
    for loss in [0.01, 0.05] {
        let room_config = RoomConfig { link: LinkModel::lossy(loss), ..RoomConfig::new(SEED, 200 * 1024, 100) };
        let geometry = room_config.geometry;
        let mut room = Room::new(room_config);
        room.run_to_end();
        let exact = room.figures();
        let size = 200 * 1024 * u64::from(geometry.symbol_size) - 1;
        let layout = Layout::new(geometry, vec![FileEntry { name: "image".into(), size }]).expect("the room's");
        let config = CrowdConfig { symbol_cost: 1498, ..CrowdConfig::new(SEED, layout, 100, loss) };
        let crowd = run(config);
        println!("{exact:#?}");
    }
}
