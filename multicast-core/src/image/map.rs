//! An image in memory, only ever read by the kernel.
//!
//! A mapped page can change at any time, and vanish when the file is cut: a load from it by this
//! process would race with the writer, or end in SIGBUS. So no `&[u8]` of it exists anywhere; what
//! leaves this module are addresses for `sendmsg`, for which a vanished page is the error EFAULT.
//! Whoever wants to look at the bytes uses `read_at`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, IoSlice};
use std::marker::PhantomData;

use memmap2::{MmapOptions, MmapRaw};
use nix::libc;

/// A whole file or device, mapped for reading.
#[derive(Debug)]
pub(super) struct Mapping {
    map: MmapRaw,
}

impl Mapping {
    /// Maps the first `size` bytes of `file`; `size` is above 0.
    pub(super) fn new(file: &File, size: u64) -> io::Result<Self> {
        let len = usize::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        // The length is given, as that of a device cannot be learnt from its metadata.
        Ok(Self { map: MmapOptions::new().len(len).map_raw_read_only(file)? })
    }

    /// `len` bytes from `offset` on, or `None` if they do not all lie within the mapping.
    pub(super) fn range(&self, offset: u64, len: usize) -> Option<MappedRange<'_>> {
        let offset = usize::try_from(offset).ok()?;
        let end = offset.checked_add(len)?;
        (end <= self.map.len()).then(|| MappedRange {
            start: self.map.as_ptr().wrapping_add(offset),
            len,
            mapping: PhantomData,
        })
    }
}

/// Mapped bytes of an image, for the kernel alone.
#[derive(Debug, Clone, Copy)]
pub struct MappedRange<'a> {
    start: *const u8,
    len: usize,
    mapping: PhantomData<&'a Mapping>,
}

impl<'a> MappedRange<'a> {
    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first `at` bytes and the rest, or `None` if it has fewer.
    pub fn split_at(self, at: usize) -> Option<(Self, Self)> {
        let rest = self.len.checked_sub(at)?;
        let head = Self { len: at, ..self };
        Some((head, Self { start: self.start.wrapping_add(at), len: rest, ..self }))
    }

    /// What `sendmsg` takes. Only for that: within this crate nothing may look into the slice,
    /// which is why embedders cannot get it.
    #[allow(dead_code, reason = "for the engine's sending thread")]
    pub(crate) fn io_slice(self) -> IoSlice<'a> {
        let raw = libc::iovec { iov_base: self.start.cast_mut().cast(), iov_len: self.len };
        // SAFETY: the standard library guarantees that `IoSlice` is ABI compatible with `iovec` on
        // Unix. The address range lies within a mapping that lives for 'a and is never remapped
        // (`range` and `split_at` keep the bounds). It is made without a `&[u8]` in between, and
        // the crate hands it to `sendmsg` without dereferencing it: the only reader is the kernel,
        // which copies from pages that other processes may write (any value is fine, the clients
        // verify hashes) and reports EFAULT for pages that are gone.
        unsafe { std::mem::transmute::<libc::iovec, IoSlice<'a>>(raw) }
    }
}

// SAFETY: a `MappedRange` is an address and a length into a mapping that it borrows; it gives no
// access to the bytes from this process, so there is nothing on which two threads could race.
unsafe impl Send for MappedRange<'_> {}
// SAFETY: as above.
unsafe impl Sync for MappedRange<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use nix::errno::Errno;
    use nix::sys::socket::{MsgFlags, SockaddrIn, sendmsg};

    fn pair() -> (UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        (sender, receiver)
    }

    fn send(socket: &UdpSocket, slices: &[IoSlice<'_>]) -> nix::Result<usize> {
        sendmsg::<SockaddrIn>(socket.as_raw_fd(), slices, &[], MsgFlags::empty(), None)
    }

    #[test]
    fn mapped_bytes_leave_through_sendmsg_behind_a_header() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mapping = Mapping::new(&file, 10).unwrap();
        let (head, tail) = mapping.range(2, 6).unwrap().split_at(2).unwrap();
        let (sender, receiver) = pair();
        send(&sender, &[IoSlice::new(b"header:"), tail.io_slice(), head.io_slice()]).unwrap();
        let mut buf = [0; 64];
        let n = receiver.recv(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"header:456723");
    }

    #[test]
    fn a_file_cut_under_the_mapping_is_an_error_of_sendmsg_and_no_signal() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mapping = Mapping::new(&file, 1 << 20).unwrap();
        let range = mapping.range(1 << 19, 1000).unwrap();
        let (sender, _receiver) = pair();
        assert_eq!(send(&sender, &[range.io_slice()]), Ok(1000));
        file.set_len(4096).unwrap();
        assert_eq!(send(&sender, &[range.io_slice()]), Err(Errno::EFAULT));
    }

    #[test]
    fn a_range_beyond_the_end_does_not_exist() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        let mapping = Mapping::new(&file, 100).unwrap();
        assert_eq!(mapping.range(90, 10).map(|r| r.len()), Some(10));
        assert!(mapping.range(100, 0).is_some_and(|r| r.is_empty()));
        assert!(mapping.range(90, 11).is_none());
        assert!(mapping.range(u64::MAX, 1).is_none());
        assert!(mapping.range(1, usize::MAX).is_none());
        assert!(mapping.range(0, 10).and_then(|r| r.split_at(11)).is_none());
    }
}
