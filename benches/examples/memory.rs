//! What a sender takes of memory beside the mapped image: `memory [GIB [CLIENTS]]`, by default 64 GiB
//! and 1,000 clients. A table of stages, in MiB of resident memory.

use std::io;

fn main() -> io::Result<()> {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let gib = numbers.first().copied().unwrap_or(64);
    let clients = numbers.get(1).copied().unwrap_or(1000);
    let stages = benches::memory::measure(u64::from(gib) << 30, clients)?;
    println!("{gib} GiB, {clients} clients\n\n| what | MiB |\n|---|---:|");
    for stage in &stages {
        println!("| {} | {:.1} |", stage.what, mib(stage.bytes));
    }
    println!("| all | {:.1} |", mib(stages.iter().map(|stage| stage.bytes).sum()));
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
