//! Any file that may be a receiver's journal.

use std::path::PathBuf;
use std::sync::LazyLock;

use multicast_core::store::{Found, Journal};
use multicast_core::types::BlockIndex;

/// One file a process; in memory where the system has such a folder.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("fuzz-journal-{}", std::process::id()))
});

/// A journal that opens can be continued, whatever its end looks like. Whether it opened.
pub fn journal(file: &[u8]) -> bool {
    let path = PATH.as_path();
    std::fs::write(path, file).expect("a folder for temporary files");
    let found = Journal::open(path).expect("the file can be read");
    let opened = matches!(found, Found::Journal(_));
    if let Found::Journal(journal) = found {
        let mut state = journal.state();
        let claimed = state.claimed(64);
        assert!((0..64).all(|block| claimed.get(block) == state.blocks.contains(&BlockIndex(block as u32))));
        let next = BlockIndex(u32::from(file[file.len() - 1]));
        journal.record(next).expect("the file can be written");
        state.blocks.insert(next);
        drop(journal);
        let Ok(Found::Journal(again)) = Journal::open(path) else { panic!("it was one before") };
        assert_eq!(again.state(), state);
    }
    std::fs::remove_file(path).expect("it was made above");
    opened
}
