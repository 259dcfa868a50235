//! A client's output: opened, read again, discarded if it is of another image, and handed on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::Sender as Channel;

use super::client::ClientEvent;
use super::error::ClientError;
use crate::bitmap::Bitmap;
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::receiver::Resume;
use crate::store::{Store, StoreError, TargetOptions, discard, earlier, open_target, recheck};
use crate::types::{BlockIndex, ClientId};

/// An opened output and what is verified of it: with what a [`Client`](super::Client) leaves, a
/// [`Fetch`](super::Fetch) goes on. Until it is dropped nobody else can open the output.
pub struct Output {
    /// The client that began it.
    pub(super) client: ClientId,
    pub(super) layout: Layout,
    pub(super) store: Arc<dyn Store>,
    /// The manifest and the blocks that matched it, once there is one.
    pub(super) resume: Option<Resume>,
    /// BLAKE3 of the manifest that a server has promised in this run.
    pub(super) promised: Option<[u8; 32]>,
    /// Blocks that an interrupted run had left.
    pub(super) kept_blocks: u32,
}

impl Output {
    /// Blocks of the image that are verified and stored.
    pub fn held_blocks(&self) -> u32 {
        self.resume.as_ref().map_or(0, |resume| resume.held.len() as u32)
    }

    /// The same with the manifest's blocks.
    pub(super) fn verified_blocks(&self) -> u32 {
        self.resume.as_ref().map_or(0, |resume| self.layout.manifest_blocks() + resume.held.len() as u32)
    }

    /// Whether it is of the image that is cut so and has this root.
    pub(super) fn is_of(&self, layout: &Layout, root: [u8; 32]) -> bool {
        let known = || self.resume.as_ref().map(|resume| resume.manifest.root().0);
        self.layout == *layout && (self.promised == Some(root) || known() == Some(root))
    }
}

/// How an output is opened, and who is told what is found there.
pub(super) struct Opener<'a> {
    pub(super) path: &'a Path,
    pub(super) fresh: bool,
    pub(super) target: &'a TargetOptions,
    pub(super) events: &'a Channel<ClientEvent>,
    pub(super) cancel: &'a AtomicBool,
}

impl Opener<'_> {
    /// Takes up what an interrupted run left, before the server is asked: reading it again may take
    /// long, and another client that is still at work on it must be found out before the server
    /// takes both for the same.
    pub(super) fn reopen(&self) -> Result<Option<Output>, ClientError> {
        let Some(state) = earlier(self.path, self.target.journal.as_deref())? else {
            return Ok(None);
        };
        let Some(manifest) = state.manifest.as_deref().and_then(|encoded| Manifest::decode(encoded).ok()) else {
            return Ok(None);
        };
        if self.fresh {
            self.discard(&manifest.layout)?;
            return Ok(None);
        }
        let mut output = self.open(manifest.layout.clone(), Some(manifest))?;
        output.client = state.client;
        Ok(Some(output))
    }

    /// Opens the output for the image that is cut so and has this root; what is there of another one
    /// is discarded.
    pub(super) fn prepare(
        &self,
        reopened: Option<Output>,
        layout: Layout,
        root: [u8; 32],
    ) -> Result<Output, ClientError> {
        let mut output = match reopened {
            Some(output) if output.is_of(&layout, root) => output,
            other => {
                if let Some(other) = other {
                    let old = other.layout.clone();
                    drop(other);
                    self.discard(&old)?;
                    let reason = "what an interrupted run left is of another image".to_owned();
                    self.tell(ClientEvent::Discarded { reason });
                }
                if self.fresh {
                    self.discard(&layout)?;
                }
                self.open(layout, None)?
            }
        };
        output.promised = Some(root);
        Ok(output)
    }

    /// Opens the output; blocks that it is said to hold are read again if `manifest` is known.
    fn open(&self, layout: Layout, manifest: Option<Manifest>) -> Result<Output, ClientError> {
        let target = open_target(self.path, &layout, self.target)?;
        let store: Arc<dyn Store> = Arc::from(target.store);
        if let Some(damage) = target.resume.damage {
            self.tell(ClientEvent::Discarded { reason: damage.to_string() });
        }
        let mut resume = None;
        if let Some(manifest) = manifest {
            let held = self.recheck(store.as_ref(), &layout, &manifest, &target.resume.claimed)?;
            resume = Some(Resume { manifest, held });
        }
        let kept_blocks = resume.as_ref().map_or(0, |resume| resume.held.len() as u32);
        Ok(Output { client: self.target.client, layout, store, resume, promised: None, kept_blocks })
    }

    fn recheck(
        &self,
        store: &dyn Store,
        layout: &Layout,
        manifest: &Manifest,
        claimed: &Bitmap,
    ) -> Result<Vec<BlockIndex>, ClientError> {
        self.tell(ClientEvent::Rechecking { claimed_blocks: claimed.count_ones() as u32 });
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let hash_of = |block| manifest.hash_of(block).map(|hash| hash.0);
        let right = recheck(store, layout, hash_of, claimed, threads, |_| {}, self.cancel)?;
        let held: Vec<_> = right.iter_ones().map(|block| BlockIndex(block as u32)).collect();
        let bytes = held.iter().filter_map(|&block| layout.block(block)).map(|span| u64::from(span.len)).sum();
        self.tell(ClientEvent::Resumed { kept_blocks: held.len() as u32, kept_bytes: bytes });
        Ok(held)
    }

    fn discard(&self, layout: &Layout) -> Result<(), StoreError> {
        discard(self.path, layout, self.target.journal.as_deref())
    }

    fn tell(&self, event: ClientEvent) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }
}
