//! What all stories begin with.

// Each file of tests uses a part of it.
#![allow(dead_code)]

use std::time::Duration;

use multicast_core::codec::CodecId;
use multicast_core::layout::Geometry;
use multicast_core::sim::{Room, RoomConfig};

/// Blocks of 32 symbols, each decoded in microseconds: a story of many blocks in a few milliseconds.
pub(crate) const SMALL: Geometry =
    Geometry { symbol_size: 32, block_symbols: 32, parity_symbols: 64, codec: CodecId::ReedSolomon8 };

/// A room of small blocks at 100 Mbit/s, in which 16,000 symbols take about two seconds.
pub(crate) fn small_room(seed: u64, image_symbols: u32, clients: u32) -> RoomConfig {
    RoomConfig {
        geometry: SMALL,
        rate: multicast_core::pace::Rate::from_mbit(100),
        ..RoomConfig::new(seed, image_symbols, clients)
    }
}

/// Everybody that is asked for has the image; what a failure needs to be repeated is told.
pub(crate) fn assert_identical(room: &Room, seed: u64, clients: impl IntoIterator<Item = usize>) {
    for number in clients {
        let state = room.client(number);
        assert!(room.is_identical(number), "seed {seed}: client {number}: {:?} {state:?}", room.failure(number));
    }
}

/// The longest completion of these clients, since they were switched on.
pub(crate) fn slowest(room: &Room, clients: impl IntoIterator<Item = usize>) -> Duration {
    clients.into_iter().map(|number| room.completion(number).expect("it is complete")).max().unwrap_or_default()
}
