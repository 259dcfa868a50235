//! The session that the project promises: a thousand clients, 1 GiB, 1 % loss.

mod common;

use common::assert_identical;
use multicast_core::sim::{LinkModel, Room, RoomConfig};

const SEED: u64 = 3;

fn a_thousand_clients_get(image_symbols: u32, feedback: f64) {
    let config = RoomConfig { link: LinkModel::lossy(0.01), ..RoomConfig::new(SEED, image_symbols, 1000) };
    let mut room = Room::new(config);
    room.run_to_end();
    assert_identical(&room, SEED, 0..room.len());
    let figures = room.figures();
    println!("{figures:#?}");
    assert!(figures.sent_ratio <= 1.06, "seed {SEED}: {figures:?}");
    assert!(figures.sent_ratio <= figures.bound * 1.002, "seed {SEED}: {figures:?}");
    assert!(figures.feedback_ratio <= feedback, "seed {SEED}: {figures:?}");
}

/// 28 MiB: the reports of the session's end, as many for any image, are still a part of it.
#[test]
fn a_thousand_clients_get_an_image_at_the_bound_and_say_little() {
    a_thousand_clients_get(20 * 1024, 0.015);
}

/// 1 GiB in symbols of 1,440 bytes. Takes minutes:
/// `cargo test --release -p multicast-core --test large -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn a_thousand_clients_get_a_gibibyte_at_the_bound_and_say_little() {
    a_thousand_clients_get(745_654, 0.01);
}
