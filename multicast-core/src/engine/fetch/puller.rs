//! The thread that reads from the source, so that nobody else has to wait for it.

use std::io::Read;

use crossbeam_channel::{Receiver as Inbox, Sender as Channel, bounded, unbounded};

use super::plan::Run;
use super::source::{ContentSource, SourceError, Standing};
use crate::engine::error::ClientError;
use crate::layout::{BlockSpan, Layout};
use crate::types::BlockIndex;

/// Blocks that wait to be taken.
const AHEAD: usize = 2;

/// What is to be asked of the source.
pub(super) enum Pull {
    Manifest(Standing),
    Run(Run, Standing),
    Complete(Standing),
    /// The cut by which runs are read from now on.
    Cut(Layout),
}

/// What came.
pub(super) enum Pulled {
    Manifest(Result<Vec<u8>, SourceError>),
    /// Its bytes, filled up to whole symbols.
    Block(BlockSpan, Vec<u8>),
    /// No more blocks of the run come.
    RunEnded(Result<(), SourceError>),
    Completed(Result<(), SourceError>),
}

/// It is not waited for: a read may be stuck until its time limit is over.
pub(super) struct Puller {
    pub(super) pulls: Channel<Pull>,
    pub(super) pulled: Inbox<Pulled>,
    /// Buffers to be used again.
    pub(super) spare: Channel<Vec<u8>>,
}

impl Puller {
    pub(super) fn start(source: Box<dyn ContentSource>) -> Result<Self, ClientError> {
        let (pulls, inbox) = unbounded();
        let (out, pulled) = bounded(AHEAD);
        let (spare, spares) = unbounded();
        let work = Work { source, out, spares, layout: None };
        std::thread::Builder::new()
            .name("mcast-pull".into())
            .spawn(move || work.run(&inbox))
            .map_err(|source| ClientError::System { what: "a thread", source })?;
        Ok(Self { pulls, pulled, spare })
    }
}

struct Work {
    source: Box<dyn ContentSource>,
    out: Channel<Pulled>,
    spares: Inbox<Vec<u8>>,
    layout: Option<Layout>,
}

impl Work {
    fn run(mut self, inbox: &Inbox<Pull>) {
        for pull in inbox {
            let pulled = match pull {
                Pull::Manifest(standing) => Pulled::Manifest(self.source.manifest(standing)),
                Pull::Run(run, standing) => Pulled::RunEnded(self.pull(&run, standing)),
                Pull::Complete(standing) => Pulled::Completed(self.source.complete(standing)),
                Pull::Cut(layout) => {
                    self.layout = Some(layout);
                    continue;
                }
            };
            if self.out.send(pulled).is_err() {
                return;
            }
        }
    }

    fn pull(&mut self, run: &Run, standing: Standing) -> Result<(), SourceError> {
        let Some(layout) = &self.layout else { return Ok(()) };
        let size = usize::from(layout.geometry().symbol_size);
        let mut bytes = self.source.read(run.bytes.clone(), standing)?;
        for span in run.blocks.clone().filter_map(|block| layout.block(BlockIndex(block))) {
            let mut buffer = self.spares.try_recv().unwrap_or_default();
            buffer.resize(usize::from(span.symbols) * size, 0);
            bytes.read_exact(&mut buffer[..span.len as usize]).map_err(|error| SourceError::Lost {
                text: format!("the connection broke off within block {}: {error}", span.block),
            })?;
            if self.out.send(Pulled::Block(span, buffer)).is_err() {
                // Nobody wants the rest.
                break;
            }
        }
        Ok(())
    }
}
