//! Stories of a room in virtual time.

use std::time::Duration;

use multicast_core::sim::{LinkModel, Room, RoomConfig};

#[test]
fn a_clean_room_gets_the_image_in_one_pass() {
    let mut room = Room::new(RoomConfig::new(1, 20_000, 8));
    room.run_to_end();
    println!("{:?}", room.figures());
    assert!(room.all_identical());
}

#[test]
fn a_lossy_room_is_repaired_at_the_bound() {
    let mut room = Room::new(RoomConfig { link: LinkModel::lossy(0.05), ..RoomConfig::new(1, 20_000, 8) });
    room.run_to_end();
    println!("{:?}", room.figures());
    assert!(room.all_identical());
}

#[test]
#[ignore]
fn big() {
    let mut room = Room::new(RoomConfig { link: LinkModel::lossy(0.01), ..RoomConfig::new(1, 745_654, 1000) });
    let t = std::time::Instant::now();
    room.run_to_end();
    println!("{:?} {:?}", room.figures(), t.elapsed());
    assert!(room.all_identical());
    let _ = Duration::ZERO;
}
