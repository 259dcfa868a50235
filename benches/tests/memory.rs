//! What a sender takes of memory; alone in its program, as the whole process is looked at.

#![cfg(target_os = "linux")]

#[test]
fn a_thousand_clients_and_64_gib_take_less_than_150_mib_of_the_sender() {
    let stages = benches::memory::measure(64 << 30, 1000).unwrap();
    let all: u64 = stages.iter().map(|stage| stage.bytes).sum();
    let listed: Vec<_> = stages.iter().map(|stage| (stage.what, stage.bytes)).collect();
    assert!(all < 150 << 20, "{all} bytes: {listed:?}");
}
