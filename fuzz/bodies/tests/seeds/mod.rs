//! Makes the seeds that a fuzzer begins with: valid inputs of every kind, the same at every run.

mod addresses;
mod boots;
mod files;
mod leases;
mod packets;
mod session;
mod wims;

use fuzz_bodies::Delivery;
use multicast_core::codec::CodecId;
use multicast_core::layout::{FileEntry, Geometry, Layout};
use multicast_core::manifest::{Hash, Manifest};
use multicast_core::store::Journal;
use multicast_core::types::{BlockIndex, ClientId};

/// Named inputs.
pub(crate) type Seeds = Vec<(String, Vec<u8>)>;

/// The seeds of every target.
pub(crate) fn all() -> Vec<(&'static str, Seeds)> {
    let (receiver, sender) = session::all();
    vec![
        ("wire", packets::all()),
        ("wim", wims::all()),
        ("manifest", manifests()),
        ("receiver", receiver),
        ("sender", sender),
        ("journal", journals()),
        ("madcap", leases::all()),
        ("tftp", boots::all()),
        ("dhcp", addresses::all()),
        ("boot_image", files::all()),
    ]
}

fn manifests() -> Seeds {
    let geometry =
        Geometry { symbol_size: 1440, block_symbols: 1024, parity_symbols: 512, codec: CodecId::ReedSolomon16 };
    let files = vec![FileEntry { name: "install.wim".into(), size: 3 << 20 }];
    let layout = Layout::new(geometry, files).expect("usual sizes");
    let hashes = (0..layout.image_blocks()).map(|block| Hash::of(&block.to_be_bytes())).collect();
    vec![
        ("one-file".into(), Manifest { layout, hashes }.encode()),
        ("two-files".into(), Delivery::new(CodecId::ReedSolomon8).manifest.encode()),
    ]
}

fn journals() -> Seeds {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("journal");
    let mut seeds = Seeds::new();
    let mut keep = |name: &str| seeds.push((name.into(), std::fs::read(&path).expect("just written")));
    let journal = Journal::create(&path, ClientId(1)).expect("a writable folder");
    keep("new");
    journal.set_manifest(b"manifest").expect("a writable folder");
    for block in [3, 1, 200] {
        journal.record(BlockIndex(block)).expect("a writable folder");
    }
    keep("three-blocks");
    let mut torn = std::fs::read(&path).expect("just written");
    torn.truncate(torn.len() - 3);
    seeds.push(("torn".into(), torn));
    seeds
}
