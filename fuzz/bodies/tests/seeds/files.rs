//! The first bytes of files that are parts of boot images.

use super::Seeds;

pub(super) fn all() -> Seeds {
    let mut kernel = vec![0; 600];
    kernel[0x1fe..0x206].copy_from_slice(b"\x55\xaa\0\0HdrS");
    kernel[0x206..0x208].copy_from_slice(&[0x0f, 2]);
    kernel[0x236] = 1;
    let mut program = vec![0; 300];
    program[..2].copy_from_slice(b"MZ");
    program[0x3c] = 0x80;
    program[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
    program[0x80 + 92] = 10;
    let mut arm = vec![0; 64];
    arm[56..60].copy_from_slice(b"ARM\x64");
    let seed = |name: &str, head: &[u8]| (name.to_owned(), [name.as_bytes(), b"\n", head].concat());
    vec![
        seed("vmlinuz", &kernel),
        seed("wimboot", &kernel),
        seed("shell.efi", &program),
        seed("Image", &arm),
        seed("boot.wim", b"MSWIM\0\0\0\xd0\0\0\0"),
        seed("BCD", b"regf\x01\0\0\0"),
        seed("boot.sdi", b"$SDI0001"),
        seed("menu.ipxe", b"#!ipxe\nshell\n"),
        seed("initrd", b"070701000000"),
    ]
}
