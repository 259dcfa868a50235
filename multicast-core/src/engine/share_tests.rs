use proptest::prelude::*;

use super::*;
use crate::sender::{Ladder, Transmit};
use crate::sim::{Room, RoomConfig};
use crate::wire::Packet;

fn mbit(rates: &[u64]) -> Vec<Rate> {
    rates.iter().map(|&rate| Rate::from_mbit(rate)).collect()
}

fn divided(total: Rate, wants: &[Rate]) -> Vec<Rate> {
    let level = level(total, wants.iter().map(|want| (*want, 1)));
    wants.iter().map(|want| level.of(1).min(*want)).collect()
}

fn sum(rates: &[Rate]) -> u64 {
    rates.iter().map(|rate| rate.bits()).sum()
}

#[test]
fn what_one_does_not_want_is_divided_among_the_others() {
    let total = Rate::from_mbit(400);
    assert_eq!(divided(total, &mbit(&[1000; 4])), mbit(&[100; 4]));
    assert_eq!(divided(total, &mbit(&[1000, 40, 1000, 160])), mbit(&[120, 40, 120, 120]));
    assert_eq!(divided(total, &mbit(&[50, 60])), mbit(&[50, 60]));
}

#[test]
fn a_session_of_twice_the_weight_gets_twice_as_much_unless_it_wants_less() {
    let divided = |wants: [(u64, u32); 3]| {
        let wants = wants.map(|(rate, weight)| (Rate::from_mbit(rate), weight));
        let level = level(Rate::from_mbit(400), wants.iter().copied());
        wants.map(|(want, weight)| level.of(weight).min(want).bits() / 1_000_000)
    };
    assert_eq!(divided([(1000, 1), (1000, 2), (1000, 5)]), [50, 100, 250]);
    assert_eq!(divided([(1000, 1), (1000, 1), (20, 5)]), [190, 190, 20]);
    assert_eq!(divided([(10, 1), (10, 2), (20, 5)]), [10, 10, 20]);
}

#[test]
fn a_session_too_many_is_refused_and_has_room_when_another_ends() {
    let total = TotalRate::new(Rate::from_bits(250_000));
    let first = total.join(SessionId(1), 1).unwrap();
    let _second = total.join(SessionId(2), 1).unwrap();
    let error = total.join(SessionId(3), 1).unwrap_err();
    assert!(matches!(error, EngineError::NoRateLeft { sessions: 2, .. }), "{error}");
    drop(first);
    total.join(SessionId(3), 1).unwrap();
}

#[test]
fn a_drought_between_two_rounds_of_repair_gives_nothing_up_and_a_longer_one_does() {
    let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
    let total = TotalRate::new(Rate::from_mbit(100));
    let mut share = total.join(SessionId(1), 1).unwrap();
    assert_eq!(share.due(), None);
    assert_eq!(share.settle(at(0), Some(Rate::MAX)), Some(Rate::from_mbit(100)));
    assert_eq!(share.settle(at(5), Some(Rate::MAX)), None, "it is not due");
    assert_eq!(share.settle(at(30), None), Some(Rate::from_mbit(100)));
    assert_eq!(share.settle(at(60), None), Some(Rate::MIN));
    assert_eq!((share.settle(at(200), None), share.due()), (None, None));
}

fn rates() -> impl Strategy<Value = Vec<Rate>> {
    let rate = (Rate::MIN.bits()..=10_000_000_000).prop_map(Rate::from_bits);
    proptest::collection::vec(prop_oneof![Just(Rate::MIN), rate], 1..20)
}

proptest! {
    #[test]
    fn the_division_holds_the_total_and_is_max_min_fair(total in 2_000_000_u64..20_000_000_000, wants in rates()) {
        let shares = divided(Rate::from_bits(total), &wants);
        prop_assert!(sum(&shares) <= total);
        let highest = shares.iter().max().unwrap();
        for (share, want) in shares.iter().zip(&wants) {
            prop_assert!(share <= want);
            // Who gets less than it wants gets as much as anybody: nobody could give it more but one that has no more.
            prop_assert!(share == want || share == highest);
            prop_assert!(share.bits() >= want.bits().min(total / wants.len() as u64), "one starves");
        }
        // Nothing is left over but what does not divide.
        prop_assert!(shares == wants || total - sum(&shares) < wants.len() as u64);
    }

    #[test]
    fn the_total_holds_while_wants_change_and_two_looks_of_each_make_it_fair(
        total in 2_000_000_u64..1_000_000_000,
        changes in proptest::collection::vec((0_usize..20, Rate::MIN.bits()..1_000_000_000), 1..200),
        wants in rates(),
    ) {
        let total = Rate::from_bits(total);
        let whole = TotalRate::new(total);
        let shares: Vec<_> = (0..wants.len()).map(|i| whole.join(SessionId(i as u32), 1).unwrap()).collect();
        let held = || whole.claims().values().map(|claim| claim.holds.bits()).sum::<u64>();
        for (who, want) in changes {
            whole.claim(shares[who % shares.len()].session, Rate::from_bits(want));
            prop_assert!(held() <= total.bits());
        }
        let mut rates = Vec::new();
        for _ in 0..3 {
            rates = shares.iter().zip(&wants).map(|(share, want)| whole.claim(share.session, *want)).collect();
            prop_assert!(held() <= total.bits());
        }
        prop_assert_eq!(rates, divided(total, &wants));
    }
}

const TOTAL: Rate = Rate::from_mbit(200);
const STEP: Duration = Duration::from_millis(1);

/// Rooms whose sessions share [`TOTAL`], in step; the bytes that all of them sent in each step.
fn run_together(rooms: &mut [Room], mut look: impl FnMut(&[Room])) -> Vec<u64> {
    let whole = TotalRate::new(TOTAL);
    let join = |i: usize| Some(whole.join(SessionId(i as u32), 1).unwrap());
    let mut shares: Vec<Option<Share>> = (0..rooms.len()).map(join).collect();
    let (mut steps, mut before) = (Vec::new(), 0);
    while !rooms.iter().all(Room::all_identical) {
        for (room, share) in rooms.iter_mut().zip(&mut shares) {
            room.run_for(STEP);
            if room.command(|sender, _| sender.is_finished()) == Some(true) {
                *share = None;
            }
            let Some(share) = share else { continue };
            room.command(|sender, now| {
                if let Some(rate) = share.settle(now, sender.wanted_rate()) {
                    sender.set_share(now, Some(rate));
                }
            });
        }
        let sent: u64 = rooms.iter().map(|room| room.session().unwrap().counters.wire_bytes).sum();
        steps.push(sent - before);
        before = sent;
        look(rooms);
        assert!(steps.len() < 60_000, "it takes a minute already");
    }
    steps
}

fn room(seed: u64, symbols: u32) -> Room {
    let mut room =
        Room::new(RoomConfig { link: crate::sim::LinkModel::lossy(0.01), ..RoomConfig::new(seed, symbols, 2) });
    // Before anything goes out, as the engine does.
    room.command(|session: &mut Ladder, now| session.set_share(now, Some(Rate::MIN)));
    room
}

#[test]
fn four_sessions_get_a_quarter_each_and_the_rest_when_others_end() {
    // One has half as much to send as the others.
    let mut rooms: Vec<Room> = (0..4).map(|i| room(i, if i == 0 { 8 << 10 } else { 16 << 10 })).collect();
    let (mut quarters, mut thirds) = (0, 0);
    let steps = run_together(&mut rooms, |rooms| {
        let rates: Vec<_> = rooms.iter().map(|room| room.session().unwrap().rate).collect();
        quarters += u32::from(rates.iter().all(|rate| *rate == TOTAL.scaled(0.25)));
        thirds += u32::from(rates[1..].iter().all(|rate| rate.bits() > TOTAL.bits() * 33 / 100));
    });
    let bytes: u64 = steps.iter().sum();
    let (took, ideal) = (STEP * steps.len() as u32, TOTAL.time_for(bytes));
    assert!(took < ideal.mul_f64(1.05) + Duration::from_millis(200), "{took:?} for what takes {ideal:?}");
    let (quarters, thirds) = (STEP * quarters, STEP * thirds);
    assert!(quarters > ideal.mul_f64(0.45), "{quarters:?} of {took:?} at a quarter each");
    assert!(thirds > ideal.mul_f64(0.3), "{thirds:?} of {took:?} at a third each");
    let ends: Vec<_> = (0..4).map(|i| (0..2).filter_map(|n| rooms[i].completion(n)).max().unwrap()).collect();
    let equals = &ends[1..];
    assert!(*equals.iter().max().unwrap() < equals.iter().min().unwrap().mul_f64(1.05), "{ends:?}");
}

#[test]
fn all_sessions_together_hold_the_total_over_any_tenth_of_a_second() {
    let mut rooms: Vec<Room> = (0..4).map(|i| room(10 + i, (4 << 10) * (i as u32 + 1))).collect();
    let steps = run_together(&mut rooms, |_| {});
    let most = steps.windows(100).map(|window| window.iter().sum::<u64>()).max().unwrap();
    let bound = TOTAL.bytes_in(Duration::from_millis(100));
    // The pacers' buckets, which a session may find full after it was idle, and a batch each.
    assert!(most as f64 <= bound as f64 * 1.10, "{most} bytes in 100 ms, {bound} are the rate");
}

#[test]
fn heartbeats_tell_the_share() {
    let mut room = room(3, 4 << 10);
    room.run_for(Duration::from_millis(500));
    let share = Rate::from_mbit(37);
    let told = room.command(|sender, now| {
        sender.set_share(now, Some(share));
        let due = sender.poll_timeout(now).unwrap() + Duration::from_secs(1);
        sender.handle_timeout(due);
        std::iter::from_fn(|| sender.poll_transmit(due)).find_map(|(_, transmit)| match transmit {
            Transmit::Group(datagram) => match Packet::decode(&datagram) {
                Ok(Packet::Heartbeat(heartbeat)) => Some(heartbeat.rate_kbit),
                _ => None,
            },
            _ => None,
        })
    });
    assert_eq!(told, Some(Some(37_000)));
}
