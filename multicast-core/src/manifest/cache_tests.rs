use super::*;
use crate::layout::Geometry;
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

struct Room {
    folder: tempfile::TempDir,
    image: PathBuf,
}

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("os.img");
        fs::write(&image, vec![5; 30_000]).unwrap();
        Self { folder, image }
    }

    fn cache_file(&self) -> PathBuf {
        self.folder.path().join("os.img.mcast-manifest")
    }

    fn load_as(&self, place: &CachePlace, symbol_size: u16) -> Loaded {
        let delivery = Delivery::open(std::slice::from_ref(&self.image)).unwrap();
        let geometry = Geometry { block_symbols: 4, ..Geometry::for_size(1, symbol_size) };
        let layout = Layout::new(geometry, delivery.file_entries()).unwrap();
        let loaded = load_or_build(&delivery, &layout, place, 1, |_| (), &AtomicBool::new(false)).unwrap();
        let fresh = build(&delivery, &layout, 1, |_| (), &AtomicBool::new(false)).unwrap();
        assert_eq!(loaded.manifest, fresh, "whatever the cache holds, the manifest is the image's");
        loaded
    }

    fn load(&self) -> Origin {
        self.load_as(&CachePlace::Beside, 1000).origin
    }

    fn miss(&self) -> CacheMiss {
        match self.load() {
            Origin::Built { miss, kept } => {
                assert_eq!(kept.unwrap(), self.cache_file());
                miss
            }
            origin => panic!("{origin}"),
        }
    }
}

#[test]
fn the_second_start_takes_the_manifest_of_the_first() {
    let room = Room::new();
    assert!(matches!(room.miss(), CacheMiss::Absent { path } if path == room.cache_file()));
    assert!(matches!(room.load(), Origin::Cached { path } if path == room.cache_file()));
    let names: Vec<_> = fs::read_dir(room.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing temporary is left: {names:?}");
}

#[test]
fn a_changed_image_is_hashed_again_and_the_change_is_named() {
    let room = Room::new();
    room.load();
    let file = File::options().write(true).open(&room.image).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_nanos(1_000_000_001)).unwrap();
    let miss = room.miss();
    assert!(
        matches!(&miss, CacheMiss::Changed { file, what: "modification time", .. } if *file == room.image),
        "{miss}"
    );

    let before = file.metadata().unwrap().modified().unwrap();
    file.set_len(20_000).unwrap();
    file.set_modified(before).unwrap();
    let text = room.miss().to_string();
    assert!(text.ends_with("its size was 30000 bytes, now it is 20000 bytes"), "{text}");

    // Replaced by a file of the same size and time.
    let other = room.folder.path().join("other");
    fs::write(&other, vec![6; 20_000]).unwrap();
    File::options().write(true).open(&other).unwrap().set_modified(before).unwrap();
    fs::rename(&other, &room.image).unwrap();
    let miss = room.miss();
    assert!(matches!(miss, CacheMiss::Changed { what: "inode", .. }), "{miss}");
    assert!(matches!(room.load(), Origin::Cached { .. }));
}

#[test]
fn another_geometry_is_hashed_anew() {
    let room = Room::new();
    room.load();
    let Origin::Built { miss, .. } = room.load_as(&CachePlace::Beside, 500).origin else { panic!("cut otherwise") };
    assert!(matches!(&miss, CacheMiss::OtherLayout { what, .. } if what.contains("symbol_size: 1000")), "{miss}");
}

#[test]
fn a_damaged_cache_is_hashed_anew_and_mended() {
    let room = Room::new();
    room.load();
    let good = fs::read(room.cache_file()).unwrap();
    for at in [0, 5, 7, 20, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(room.cache_file(), bytes).unwrap();
        let miss = room.miss();
        assert!(matches!(miss, CacheMiss::Damaged { .. }), "byte {at}: {miss}");
        assert_eq!(fs::read(room.cache_file()).unwrap(), good);
    }
    for len in [0, 7, 50, good.len() - 1] {
        fs::write(room.cache_file(), &good[..len]).unwrap();
        assert!(matches!(room.miss(), CacheMiss::Damaged { .. }), "cut to {len}");
    }
    File::options().write(true).open(room.cache_file()).unwrap().set_len(1 << 40).unwrap();
    assert!(room.miss().to_string().contains("it is no file of at most"));
}

#[test]
fn a_cache_that_cannot_be_written_is_told_and_keeps_nobody_from_serving() {
    let room = Room::new();
    let place = CachePlace::Folder(room.image.join("below a file"));
    let Origin::Built { kept: Err(CacheWriteError::Write { path, .. }), .. } = room.load_as(&place, 1000).origin else {
        panic!("a folder cannot lie below a file")
    };
    assert!(path.starts_with(&room.image));
}

#[test]
fn a_cache_folder_is_made_and_holds_one_file_for_each_path() {
    let room = Room::new();
    let place = CachePlace::Folder(room.folder.path().join("new/cache"));
    let Origin::Built { kept: Ok(path), .. } = room.load_as(&place, 1000).origin else {
        panic!("nothing is cached yet")
    };
    assert_eq!(path.file_name().unwrap().len(), 64 + SUFFIX.len());
    assert!(matches!(room.load_as(&place, 1000).origin, Origin::Cached { path: found } if found == path));
    assert!(!room.cache_file().exists());
}

#[test]
fn without_a_place_nothing_is_written() {
    let room = Room::new();
    let origin = room.load_as(&CachePlace::Nowhere, 1000).origin;
    assert_eq!(origin.to_string(), "made, as no cache is in use");
    assert_eq!(fs::read_dir(room.folder.path()).unwrap().count(), 1);
}

proptest! {
    #[test]
    fn arbitrary_bytes_with_a_true_checksum_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200), files in 0u16..5,
    ) {
        let header = [&MAGIC[..], &VERSION.to_be_bytes(), &files.to_be_bytes()].concat();
        bytes.splice(..0, header);
        bytes.extend_from_slice(&Hash::of(&bytes).0);
        if let Ok((stamps, manifest)) = decode(&bytes) {
            prop_assert_eq!(stamps.len(), usize::from(files));
            let _ = Manifest::decode(manifest);
        }
    }
}
