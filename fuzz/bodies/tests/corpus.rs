//! Runs every committed seed through its target, so that what a fuzzer once found stays found.

mod seeds;

use std::fs;
use std::path::PathBuf;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target)
}

/// Runs all seeds of `target`; those named `valid-…` must be of use.
fn run(target: &str) {
    let (_, body) = fuzz_bodies::TARGETS.iter().find(|(name, _)| *name == target).expect("a target of that name");
    let entries = fs::read_dir(folder(target)).expect("the corpus is committed");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no seed");
    for path in paths {
        let seed = fs::read(&path).expect("a readable seed");
        // Told by the harness if the body panics.
        println!("{}", path.display());
        let useful = body(&seed);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(useful || !name.starts_with("valid-"), "{name} is not valid any more: see `regenerate_seeds`");
    }
}

macro_rules! corpora {
    ($($test:ident: $target:literal,)*) => {
        $(#[test]
        fn $test() {
            run($target);
        })*

        #[test]
        fn no_target_is_left_out() {
            assert_eq!(fuzz_bodies::TARGETS.map(|(name, _)| name), [$($target),*]);
        }
    };
}

corpora! {
    datagrams_of_the_corpus_do_no_harm: "wire",
    wims_of_the_corpus_do_no_harm: "wim",
    manifests_of_the_corpus_do_no_harm: "manifest",
    a_receiver_survives_the_corpus: "receiver",
    a_sender_survives_the_corpus: "sender",
    journals_of_the_corpus_do_no_harm: "journal",
    madcap_messages_of_the_corpus_do_no_harm: "madcap",
    transfers_of_the_corpus_do_no_harm: "tftp",
    dhcp_servers_survive_the_corpus: "dhcp",
    files_of_the_corpus_do_no_harm: "boot_image",
}

/// Writes the `valid-…` seeds anew, after the formats or the machines have changed:
/// `cargo test -p fuzz-bodies -- --ignored regenerate_seeds`.
#[test]
#[ignore = "writes to fuzz/corpus"]
fn regenerate_seeds() {
    for (target, seeds) in seeds::all() {
        fs::create_dir_all(folder(target)).expect("a writable folder");
        for entry in fs::read_dir(folder(target)).expect("made above") {
            let path = entry.expect("a readable folder").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("valid-")) {
                fs::remove_file(path).expect("a writable folder");
            }
        }
        for (name, seed) in seeds {
            fs::write(folder(target).join(format!("valid-{name}")), seed).expect("a writable folder");
        }
    }
}
