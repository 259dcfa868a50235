//! Late joiners: when the session ends and when each of them is complete, by the order of the blocks.
//!
//! Eight clients from the start and `k` more at random moments of the pass, every fourth of them in its
//! last twentieth. 1,024 symbols of 64 bytes a block, so that the manifest, which goes out at once
//! for every one that joins, weighs thirty times what a real one does.

mod common;

use std::time::Duration;

use common::assert_identical;
use multicast_core::bitmap::Bitmap;
use multicast_core::layout::Geometry;
use multicast_core::pace::Rate;
use multicast_core::sender::{Carousel, Nearest, Order};
use multicast_core::sim::{LinkModel, Room, RoomConfig};
use multicast_core::types::{BlockIndex, Instant};

type MakeOrder = fn(Carousel) -> Box<dyn Order>;

const FIRST: u32 = 8;
const LOSSES: [f64; 3] = [0.0, 0.01, 0.05];
const JOINERS: [u32; 4] = [1, 3, 10, 50];

/// How late clients come.
#[derive(Clone, Copy)]
enum Late {
    /// With nothing.
    New,
    /// Every other one is, instead, one of the first that was off for a while, or will be until the
    /// next such one goes.
    Returning,
}

/// What a room came to.
struct Outcome {
    /// End of the session by last join + image time × what this loss costs any block code.
    end: f64,
    /// End of the session by last join + bare image time.
    bare_end: f64,
    /// Mean time from join to complete, in bare image times.
    mean: f64,
    /// What this loss costs any block code, in bare image times.
    bound: f64,
}

fn room(seed: u64, symbols: u32, loss: f64, order: Option<MakeOrder>) -> RoomConfig {
    let config = RoomConfig::new(seed, symbols, FIRST);
    let geometry = Geometry { symbol_size: 64, ..config.geometry };
    RoomConfig { geometry, link: LinkModel::lossy(loss), rate: Rate::from_mbit(100), order, ..config }
}

fn run(config: RoomConfig, joiners: u32, late: Late) -> Outcome {
    let seed = config.seed;
    let mut room = Room::new(config);
    let image = room.image_time();
    let mut random = random_numbers(seed);
    let mut moments: Vec<f64> =
        (0..joiners).map(|i| if i % 4 == 3 { 0.95 + 0.05 * random() } else { random() }).collect();
    moments.sort_by(f64::total_cmp);
    let mut off = None;
    for (number, moment) in moments.into_iter().enumerate() {
        let so_far = room.now() - Instant::ZERO;
        room.run_for(image.mul_f64(moment).saturating_sub(so_far));
        match late {
            Late::Returning if number % 2 == 0 && number / 2 < FIRST as usize => {
                room.kill(number / 2);
                off.replace(number / 2).into_iter().for_each(|back| room.restart(back));
            }
            _ => {
                room.join();
            }
        }
    }
    off.into_iter().for_each(|back| room.restart(back));
    let last = room.now() - Instant::ZERO;
    room.run_to_end();
    assert_identical(&room, seed, 0..room.len());
    let completions: Duration = (0..room.len()).filter_map(|client| room.completion(client)).sum();
    let (figures, image) = (room.figures(), image.as_secs_f64());
    Outcome {
        end: figures.seconds / (last.as_secs_f64() + image * figures.bound),
        bare_end: figures.seconds / (last.as_secs_f64() + image),
        mean: completions.as_secs_f64() / room.len() as f64 / image,
        bound: figures.bound,
    }
}

/// Numbers from 0 to 1 that `seed` decides (splitmix64).
fn random_numbers(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

const CAROUSEL: MakeOrder = |carousel| Box::new(carousel);
const NEAREST: MakeOrder = |carousel| Box::new(Nearest::new(carousel));
const SYMBOLS: u32 = 32 * 1024;

#[test]
fn the_session_ends_an_image_after_the_last_join_and_each_client_is_complete_an_image_after_its_own() {
    for (seed, joiners, loss) in
        [(1, 1, 0.0), (2, 3, 0.01), (3, 10, 0.0), (4, 10, 0.05), (5, 10, 0.01), (6, 50, 0.01), (7, 3, 0.05)]
    {
        let Outcome { end, mean, bound, .. } = run(room(seed, SYMBOLS, loss, None), joiners, Late::New);
        assert!(end <= 1.03, "seed {seed}, {joiners} joiners, loss {loss}: ended at {end}");
        // No order can do better: a client that came with nothing needs the whole image.
        assert!(mean <= bound * 1.03, "seed {seed}, {joiners} joiners, loss {loss}: complete after {mean}");
    }
}

#[test]
fn clients_that_come_back_with_a_gap_are_complete_sooner_if_the_nearest_goes_first() {
    let mean = |order| -> f64 {
        let rooms = (1..=4).map(|seed| run(room(seed, SYMBOLS, 0.01, Some(order)), 3, Late::Returning));
        rooms.map(|outcome| outcome.mean).sum()
    };
    let (nearest, plain) = (mean(NEAREST), mean(CAROUSEL));
    assert!(nearest <= plain * 0.97, "seeds 1 to 4: {nearest} instead of {plain}");
}

#[test]
fn metadata_that_goes_first_does_not_hold_up_everybody_whenever_somebody_joins() {
    // A sixteenth of the image, ten times: more than half an image if each join repeated it at once.
    let config = RoomConfig { priority: 2, ..room(1, SYMBOLS, 0.0, None) };
    let outcome = run(config, 10, Late::New);
    assert!(outcome.mean <= 1.05, "seed 1: complete after {} image times", outcome.mean);
}

// The table of docs/performance.md.

/// The block with the highest rank, the next in the round among equals; looks at every block of every
/// client, so it is for comparison only.
struct Ranked {
    head: Carousel,
    position: usize,
    rank: fn(&Bitmap, &[&Bitmap]) -> Vec<f64>,
}

impl Order for Ranked {
    fn next(&mut self, wanted: &Bitmap, held: &[&Bitmap]) -> Option<BlockIndex> {
        if wanted.get(0) {
            return self.head.next(wanted, held);
        }
        let ranks = (self.rank)(wanted, held);
        let after = |block: usize| (block + wanted.len() - self.position) % wanted.len();
        let best = wanted.iter_ones().max_by(|&a, &b| ranks[a].total_cmp(&ranks[b]).then(after(b).cmp(&after(a))))?;
        self.position = (best + 1) % wanted.len();
        Some(BlockIndex(best as u32))
    }
}

fn ranks(wanted: &Bitmap, held: &[&Bitmap], weight: fn(usize) -> f64) -> Vec<f64> {
    let mut ranks = vec![0.0; wanted.len()];
    for client in held {
        let lacks = || wanted.iter_ones().filter(|&block| !client.get(block));
        let weight = weight(lacks().count());
        lacks().for_each(|block| ranks[block] += weight);
    }
    ranks
}

const ORDERS: [(&str, MakeOrder); 4] = [
    ("sequential", CAROUSEL),
    ("most wanted", |head| Box::new(Ranked { head, position: 0, rank: |wanted, held| ranks(wanted, held, |_| 1.0) })),
    ("nearest", NEAREST),
    ("weighed", |head| {
        Box::new(Ranked { head, position: 0, rank: |wanted, held| ranks(wanted, held, |lacks| 1.0 / lacks as f64) })
    }),
];

#[test]
#[ignore = "a few minutes: prints the table of docs/performance.md"]
fn orders_table() {
    const SEEDS: u64 = 4;
    for (late, title) in [(Late::New, "new"), (Late::Returning, "returning")] {
        println!("\n| {title} clients | loss | order | end / bound | end / bare | mean / image | mean / sequential |");
        println!("|---:|---:|---|---:|---:|---:|---:|");
        for (joiners, loss) in JOINERS.into_iter().flat_map(|joiners| LOSSES.map(|loss| (joiners, loss))) {
            let mut sequential = None;
            for (name, order) in ORDERS {
                let rooms: Vec<_> =
                    (1..=SEEDS).map(|seed| run(room(seed, 2 * SYMBOLS, loss, Some(order)), joiners, late)).collect();
                let mean = |of: fn(&Outcome) -> f64| rooms.iter().map(of).sum::<f64>() / SEEDS as f64;
                let worst = rooms.iter().map(|room| room.end).fold(0.0, f64::max);
                let complete = mean(|room| room.mean);
                let relative = complete / *sequential.get_or_insert(complete);
                println!(
                    "| {joiners} | {} % | {name} | {worst:.4} | {:.4} | {complete:.4} | {relative:.4} |",
                    loss * 100.0,
                    mean(|room| room.bare_end),
                );
            }
        }
    }
}
