//! Finds the store for what a user named as the output.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::journal::{self, Found, Journal, JournalDamage, JournalState};
use super::sys::{self, Node};
use super::{DEFAULT_SPOOL_BLOCKS, DeviceStore, FileStore, Store, StoreError, StreamStore, device, file};
use crate::bitmap::Bitmap;
use crate::layout::Layout;
use crate::types::ClientId;

/// How an output is opened.
#[derive(Debug, Clone)]
pub struct TargetOptions {
    /// Who this client is, unless a journal says it.
    pub client: ClientId,
    /// Where a device's journal goes; without it, to the folder for temporary files. A file's
    /// journal stands beside it.
    pub journal: Option<PathBuf>,
    /// Where blocks wait that a stream cannot pass on yet.
    pub spool_folder: PathBuf,
    /// Blocks that can wait there.
    pub spool_blocks: u32,
}

impl TargetOptions {
    /// With the system's folder for temporary files, and [`DEFAULT_SPOOL_BLOCKS`].
    pub fn new(client: ClientId) -> Self {
        Self { client, journal: None, spool_folder: std::env::temp_dir(), spool_blocks: DEFAULT_SPOOL_BLOCKS }
    }
}

/// An opened output.
pub struct Target {
    /// Where the image goes.
    pub store: Box<dyn Store>,
    /// What an earlier run left there.
    pub resume: Resume,
}

/// What an earlier run left.
#[derive(Debug)]
pub struct Resume {
    /// The client that began, or the one given if none did.
    pub client: ClientId,
    /// The encoded manifest that the client had; of use only if it is the session's.
    pub manifest: Option<Vec<u8>>,
    /// Blocks, of all of the layout, that are said to be there; [`recheck`](super::recheck) tells.
    pub claimed: Bitmap,
    /// There was a journal, but it is unusable: the image begins anew.
    pub damage: Option<JournalDamage>,
}

impl Resume {
    /// Nothing was left.
    pub(super) fn nothing(layout: &Layout, client: ClientId) -> Self {
        Self { client, manifest: None, claimed: Bitmap::new(layout.blocks() as usize), damage: None }
    }
}

/// Opens `output` for the files of `layout`: `-` is the standard output, a block device is written
/// to in place, a pipe or character device takes the image in order, all else is a file or a
/// folder of files.
///
/// All that can be known beforehand (room, rights, mounts, another client at work) is an error
/// here, before a byte is written.
pub fn open_target(output: &Path, layout: &Layout, options: &TargetOptions) -> Result<Target, StoreError> {
    match kind(output)? {
        Kind::Stdout => {
            let stdout = io::stdout();
            if stdout.is_terminal() {
                return Err(StoreError::Terminal);
            }
            // Not `Stdout` itself: it searches all bytes for the ends of lines.
            let open = stdout.as_fd().try_clone_to_owned().map_err(|source| open_error(output, source))?;
            stream(File::from(open), "the standard output", layout, options)
        }
        Kind::Stream => {
            let open = File::options().write(true).open(output).map_err(|source| open_error(output, source))?;
            stream(open, &output.display().to_string(), layout, options)
        }
        Kind::Device => {
            let journal = device::journal_path(output, options.journal.as_deref());
            let (store, resume) = DeviceStore::open(output, layout, &journal, options.client)?;
            Ok(Target { store: Box::new(store), resume })
        }
        Kind::Files => {
            let (store, resume) = FileStore::open(output, layout, options.client)?;
            Ok(Target { store: Box::new(store), resume })
        }
    }
}

/// Removes what an earlier run left for this output, so that the next one begins anew; `journal`
/// as in [`TargetOptions::journal`]. A complete file under its final name stays.
pub fn discard(output: &Path, layout: &Layout, journal: Option<&Path>) -> Result<(), StoreError> {
    match kind(output)? {
        Kind::Stdout | Kind::Stream => Ok(()),
        Kind::Device => journal::remove(&device::journal_path(output, journal)),
        Kind::Files => file::discard(output, layout),
    }
}

/// What an earlier run's journal for this output says, before the layout is known; `journal` as in
/// [`TargetOptions::journal`]. In a folder it is found if it is the only one.
pub fn earlier(output: &Path, journal: Option<&Path>) -> Result<Option<JournalState>, StoreError> {
    let path = match kind(output)? {
        Kind::Stdout | Kind::Stream => return Ok(None),
        Kind::Device => device::journal_path(output, journal),
        Kind::Files => match file::journal_of(output) {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    match Journal::open(&path)? {
        Found::Journal(journal) => Ok(Some(journal.state())),
        Found::Absent | Found::Damaged(_) => Ok(None),
    }
}

/// Continues the journal at `path`, or begins one.
pub(super) fn open_journal(path: &Path, layout: &Layout, client: ClientId) -> Result<(Journal, Resume), StoreError> {
    let mut resume = Resume::nothing(layout, client);
    match Journal::open(path)? {
        Found::Journal(journal) => {
            let state = journal.state();
            resume.claimed = state.claimed(layout.blocks());
            resume.claimed.clear_range(0..layout.manifest_blocks() as usize);
            resume.client = state.client;
            resume.manifest = state.manifest;
            return Ok((journal, resume));
        }
        Found::Damaged(damage) => resume.damage = Some(damage),
        Found::Absent => {}
    }
    Ok((Journal::create(path, client)?, resume))
}

enum Kind {
    Stdout,
    Stream,
    Device,
    Files,
}

fn kind(output: &Path) -> Result<Kind, StoreError> {
    if output == Path::new("-") {
        return Ok(Kind::Stdout);
    }
    Ok(match sys::node(output).map_err(|source| open_error(output, source))? {
        Node::Stream => Kind::Stream,
        Node::BlockDevice => Kind::Device,
        Node::Absent | Node::File | Node::Folder | Node::Other => Kind::Files,
    })
}

fn stream(
    output: impl Write + Send + 'static,
    name: &str,
    layout: &Layout,
    options: &TargetOptions,
) -> Result<Target, StoreError> {
    let store = StreamStore::open(output, name, layout, &options.spool_folder, options.spool_blocks)?;
    Ok(Target { store: Box::new(store), resume: Resume::nothing(layout, options.client) })
}

fn open_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Open { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CLIENT, content, deliver_all, layout};
    use super::*;
    use std::fs;
    use std::io::Read;

    fn target(output: &Path, layout: &Layout) -> Target {
        open_target(output, layout, &TargetOptions::new(CLIENT)).unwrap()
    }

    #[test]
    fn a_path_becomes_a_file_and_a_folder_takes_the_files_name() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[100]));
        for output in [folder.path().join("named"), folder.path().to_owned()] {
            let target = target(&output, &layout);
            deliver_all(&*target.store, &layout);
            target.store.commit().unwrap();
        }
        for name in ["named", "f0"] {
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), content(0, 100));
        }
    }

    #[test]
    fn a_damaged_journal_is_told_and_begun_anew() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[100]));
        fs::write(folder.path().join("out.mcast-journal"), b"no journal").unwrap();
        let output = folder.path().join("out");
        assert_eq!(target(&output, &layout).resume.damage, Some(JournalDamage::Magic));
        let resume = target(&output, &layout).resume;
        assert_eq!((resume.damage, resume.client), (None, CLIENT));
        discard(&output, &layout, None).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_named_pipe_takes_the_image_in_order() {
        let (folder, layout) = (tempfile::tempdir().unwrap(), layout(&[1000]));
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut bytes = Vec::new();
                File::open(pipe).unwrap().read_to_end(&mut bytes).unwrap();
                bytes
            }
        });
        let target = target(&pipe, &layout);
        deliver_all(&*target.store, &layout);
        target.store.commit().unwrap();
        drop(target);
        assert_eq!(reader.join().unwrap(), content(0, 1000));
    }
}
