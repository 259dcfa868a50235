//! Hashes what an earlier run claims to have verified.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Store, StoreError};
use crate::bitmap::Bitmap;
use crate::layout::{BlockSource, Layout};
use crate::types::BlockIndex;

/// The blocks of `claimed` whose bytes in `store` have the hash that `hash_of` gives, as a bitmap
/// over all blocks of `layout`.
///
/// A hash is the BLAKE3 of the block's bytes, without the zeros that fill its last symbol. A block
/// that cannot be read, or that `hash_of` does not know, is not confirmed and no error: it is
/// received again. `progress` is told the number of blocks done, by any of the `threads` threads.
///
/// The only error is [`StoreError::Cancelled`], once `cancel` is set.
pub fn recheck(
    store: &dyn Store,
    layout: &Layout,
    hash_of: impl Fn(BlockIndex) -> Option<[u8; 32]> + Sync,
    claimed: &Bitmap,
    threads: usize,
    progress: impl Fn(usize) + Sync,
    cancel: &AtomicBool,
) -> Result<Bitmap, StoreError> {
    let confirmed = Mutex::new(Bitmap::new(layout.blocks() as usize));
    let next = Mutex::new(0);
    let done = AtomicUsize::new(0);
    let take = || {
        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
        let block = claimed.next_one(*next)?;
        *next = block + 1;
        Some(block)
    };
    let work = || {
        let mut buffer = vec![0; layout.geometry().block_size() as usize];
        while let Some(block) = take() {
            if cancel.load(Ordering::Relaxed) {
                return;
            }
            if u32::try_from(block).is_ok_and(|block| matches(store, layout, &hash_of, BlockIndex(block), &mut buffer))
            {
                confirmed.lock().unwrap_or_else(PoisonError::into_inner).set(block);
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    std::thread::scope(|scope| {
        let helpers = threads.min(claimed.count_ones()).saturating_sub(1);
        for _ in 0..helpers {
            // Without a thread more it takes longer, that is all.
            let _ = std::thread::Builder::new().name("recheck".into()).spawn_scoped(scope, work);
        }
        work();
    });
    if cancel.load(Ordering::Relaxed) {
        return Err(StoreError::Cancelled);
    }
    Ok(confirmed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn matches(
    store: &dyn Store,
    layout: &Layout,
    hash_of: impl Fn(BlockIndex) -> Option<[u8; 32]>,
    block: BlockIndex,
    buffer: &mut [u8],
) -> bool {
    let Some(span) = layout.block(block) else { return false };
    let (BlockSource::File(file), Some(expected)) = (span.source, hash_of(block)) else { return false };
    let bytes = &mut buffer[..span.len as usize];
    store.read(file, span.offset, bytes).is_ok() && blake3::hash(bytes) == expected
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::super::testing::{block_bytes, deliver_all, layout};
    use super::*;
    use std::io::IoSlice;

    #[test]
    fn a_claim_that_lies_is_dropped_and_one_that_holds_is_kept() {
        let layout = layout(&[500, 300]);
        let store = MemoryStore::new(&layout);
        deliver_all(&store, &layout);
        store.write(1, 70, &[IoSlice::new(&[0; 8])]).unwrap();
        let spoilt = layout.blocks_of(1, 70, 78).start as usize;
        let first = layout.manifest_blocks() as usize;
        let hash_of = |block| layout.block(block).map(|span| *blake3::hash(&block_bytes(&layout, &span)).as_bytes());
        let hash_of = |block: BlockIndex| if block.index() < first { None } else { hash_of(block) };
        let mut claimed = Bitmap::full(layout.blocks() as usize + 9);
        claimed.clear(first + 2);
        for threads in [0, 1, 4] {
            let seen = AtomicUsize::new(0);
            let progress = |done| {
                seen.fetch_max(done, Ordering::Relaxed);
            };
            let go = AtomicBool::new(false);
            let confirmed = recheck(&store, &layout, hash_of, &claimed, threads, progress, &go).unwrap();
            let missing: Vec<usize> = (first..confirmed.len()).filter(|&block| !confirmed.get(block)).collect();
            assert_eq!(missing, [first + 2, spoilt]);
            assert_eq!(confirmed.len(), layout.blocks() as usize);
            assert_eq!(seen.into_inner(), claimed.count_ones());
        }
    }

    #[test]
    fn it_ends_when_it_is_cancelled() {
        let layout = layout(&[500]);
        let (store, claimed) = (MemoryStore::new(&layout), Bitmap::full(layout.blocks() as usize));
        let stop = AtomicBool::new(true);
        let result = recheck(&store, &layout, |_| None, &claimed, 2, |_| {}, &stop);
        assert!(matches!(result, Err(StoreError::Cancelled)));
    }
}
