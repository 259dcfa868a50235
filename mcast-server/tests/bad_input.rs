//! Wrong arguments of `mcast-server`: each one error of one line that names them, and a code.

mod support;

use support::{Room, run};

/// Arguments, the code, and words of the error.
type Row = (&'static [&'static str], i32, &'static [&'static str]);

const ROWS: [Row; 17] = [
    (&["send", "missing.img", "--interface", "lo"], 1, &["missing.img", "does not exist"]),
    (&["send", "empty.img", "--interface", "lo"], 1, &["empty.img", "empty"]),
    (&["send", "damaged.wim", "--interface", "lo"], 1, &["damaged.wim", "header size"]),
    (&["send", ".", "--interface", "lo"], 1, &["folder"]),
    (
        &["send", "image.bin", "--interface", "lo", "--address", "224.0.0.1"],
        2,
        &["224.0.0.1", "224.0.0.0/24", "--address auto"],
    ),
    (&["send", "image.bin", "--interface", "lo", "--address", "10.0.0.1"], 2, &["10.0.0.1", "multicast"]),
    (&["send", "image.bin", "--interface", "lo", "--address", "all"], 2, &["all", "239."]),
    (&["send", "image.bin", "--interface", "lo", "--ports", "9-1"], 2, &["9-1"]),
    (&["send", "image.bin", "--interface", "nope0"], 1, &["nope0", "lo (127.0.0.1"]),
    (&["send", "image.bin", "--interface", "lo", "--network", "5g"], 2, &["5g", "10g"]),
    (&["send", "image.bin", "--interface", "lo", "--rate", "400"], 2, &["400", "unit", "400mbit"]),
    (&["send", "image.bin", "--interface", "lo", "--total-rate", "9"], 2, &["--total-rate", "unit", "400mbit"]),
    (
        &["send", "image.bin", "other.bin", "--interface", "lo", "--each", "--address", "239.1.2.3"],
        2,
        &["--each", "2 images", "239.1.2.3", "a range or a prefix"],
    ),
    (&["send", "image.bin", "--interface", "lo", "--max-wait", "soon"], 2, &["soon", "30s"]),
    (&["send", "image.bin", "--interface", "lo", "--name", ""], 2, &["name"]),
    (&["verify", "missing.wim"], 1, &["missing.wim"]),
    (&["verify", "empty.img"], 1, &["empty.img", "empty"]),
];

#[test]
fn each_wrong_argument_is_an_error_of_one_line_that_names_it() {
    let room = Room::new(1000);
    std::fs::write(room.path("empty.img"), "").unwrap();
    std::fs::copy(&room.image, room.path("other.bin")).unwrap();
    let mut lying = vec![0xFF; 4096];
    lying[..8].copy_from_slice(b"MSWIM\0\0\0");
    std::fs::write(room.path("damaged.wim"), lying).unwrap();
    for (arguments, code, words) in ROWS {
        println!("{arguments:?}");
        run(room.folder.path(), arguments).check_error(code, words);
    }
}

#[test]
fn two_images_of_one_name_are_refused() {
    let room = Room::new(1000);
    std::fs::create_dir(room.path("other")).unwrap();
    std::fs::copy(&room.image, room.path("other/image.bin")).unwrap();
    run(room.folder.path(), &["send", "image.bin", "other/image.bin", "--interface", "lo"])
        .check_error(1, &["two files", "image.bin"]);
    run(room.folder.path(), &["send", "image.bin", "other/image.bin", "--interface", "lo", "--each"])
        .check_error(2, &["two images", "image.bin", "rename"]);
}

#[test]
fn an_error_is_ndjson_too_where_that_is_wanted() {
    let room = Room::new(1000);
    let ended = run(room.folder.path(), &["send", "missing.img", "--interface", "lo", "--json"]);
    let error = ended.last("error");
    assert_eq!((&error["error"], &error["exit_code"]), (&"\"missing.img\" does not exist".into(), &1.into()));
}
