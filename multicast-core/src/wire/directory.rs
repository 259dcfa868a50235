//! How a client learns where else the image can be had: it asks, and is told where the content is.

use super::cursor::{Reader, TEXT_LIMIT, Writer, no_session};
use super::{Kind, WireError};
use crate::types::{ClientId, SessionId};

/// Bytes of every inquiry, as many as the largest answer has: a forged one gains its sender nothing.
pub const INQUIRY_LEN: usize = 8 + 8 + 2 + 32 + 2 + TEXT_LIMIT;

/// Where a server has its content for single clients, by HTTP on the host that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ContentLocation {
    /// TCP port, not 0.
    pub port: u16,
    /// SHA-256 of the public key of the server's certificate (SubjectPublicKeyInfo, RFC 5280 §4.1.2.7), if it
    /// speaks TLS there.
    pub tls: Option<[u8; 32]>,
}

/// A client asks where the content is.
///
/// | offset | width | field                                                   |
/// |-------:|------:|---------------------------------------------------------|
/// |      0 |     8 | common prefix; session 0                                |
/// |      8 |     8 | client                                                  |
/// |     16 |   2+n | name of the image, empty for the server's only one      |
/// |      … |     … | zeros, so that the datagram has 307 bytes               |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inquiry<'a> {
    /// Who asks.
    pub client: ClientId,
    /// The image's name, empty for the server's only one.
    pub image: &'a str,
}

impl<'a> Inquiry<'a> {
    /// Reads an inquiry.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        let (_, session, mut r) = Reader::open(datagram, "inquiry", Kind::Inquiry, 0)?;
        no_session(session)?;
        let (client, image) = (r.client()?, r.text("name of the image", TEXT_LIMIT)?);
        if datagram.len() < INQUIRY_LEN {
            return Err(WireError::Truncated { what: "filling" });
        }
        // What is longer than the filling is refused as trailing.
        let filling = INQUIRY_LEN - (8 + 8 + 2 + image.len());
        if let Some(byte) = r.bytes(filling, "filling")?.iter().find(|byte| **byte != 0) {
            return Err(WireError::Value { field: "filling", value: (*byte).into(), bound: "0" });
        }
        r.finish()?;
        Ok(Self { client, image })
    }

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let end = out.len() + INQUIRY_LEN;
        let mut w = Writer::open(out, Kind::Inquiry, 0, SessionId(0));
        w.client(self.client).text(self.image, TEXT_LIMIT).zeros_to(end);
        w.finish();
    }
}

/// Where the content is.
///
/// Flag 1: it is served over TLS.
///
/// | offset | width | field                                                                |
/// |-------:|------:|----------------------------------------------------------------------|
/// |      0 |     8 | common prefix; session 0                                             |
/// |      8 |     8 | client that it is for                                                |
/// |     16 |     2 | TCP port of the content, 0 if the server has none                    |
/// |     18 |    32 | SHA-256 of the certificate's public key, zeros without TLS           |
/// |     50 |   2+n | name of the image that was meant, empty if several may have been     |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directory<'a> {
    /// The client that it is for.
    pub client: ClientId,
    /// Where the content is, if the server has any for single clients.
    pub content: Option<ContentLocation>,
    /// The image that was meant: the one named, or the server's only one; empty if the server cannot tell.
    pub image: &'a str,
}

impl<'a> Directory<'a> {
    /// Reads a directory.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        let (flags, session, mut r) = Reader::open(datagram, "directory", Kind::Directory, 1)?;
        no_session(session)?;
        let (client, port, fingerprint) = (r.client()?, r.u16("port")?, r.hash("fingerprint")?);
        let tls = flags & 1 != 0;
        if port == 0 && tls {
            return Err(WireError::Value { field: "port", value: 0, bound: "not 0 with TLS" });
        }
        if let Some(byte) = fingerprint.iter().find(|byte| !tls && **byte != 0) {
            return Err(WireError::Value { field: "fingerprint", value: (*byte).into(), bound: "0 without TLS" });
        }
        let content = (port != 0).then_some(ContentLocation { port, tls: tls.then_some(fingerprint) });
        let image = r.text("name of the image", TEXT_LIMIT)?;
        r.finish()?;
        Ok(Self { client, content, image })
    }

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let content = self.content.filter(|content| content.port != 0);
        let tls = content.and_then(|content| content.tls);
        let mut w = Writer::open(out, Kind::Directory, tls.is_some().into(), SessionId(0));
        w.client(self.client).u16(content.map_or(0, |content| content.port)).bytes(&tls.unwrap_or_default());
        w.text(self.image, TEXT_LIMIT);
        w.finish();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Packet;
    use super::*;

    fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = vec![0xEE];
        encode(&mut out);
        out.split_off(1)
    }

    proptest! {
        #[test]
        fn both_come_back_and_no_answer_is_larger_than_its_question(
            client: u64,
            image in "[a-zä. ]{0,120}",
            port: u16,
            tls in proptest::option::of(any::<[u8; 32]>()),
        ) {
            let client = ClientId(client);
            let inquiry = Inquiry { client, image: &image };
            let question = encoded(|out| inquiry.encode(out));
            prop_assert_eq!(Packet::decode(&question), Ok(Packet::Inquiry(inquiry)));
            let content = (port != 0).then_some(ContentLocation { port, tls });
            let directory = Directory { client, content, image: &image };
            let answer = encoded(|out| directory.encode(out));
            prop_assert_eq!(Packet::decode(&answer), Ok(Packet::Directory(directory)));
            prop_assert!(answer.len() <= question.len());
        }
    }

    #[test]
    fn the_longest_name_fits_both() {
        let (client, image) = (ClientId(1), "n".repeat(300));
        let question = encoded(|out| Inquiry { client, image: &image }.encode(out));
        let content = Some(ContentLocation { port: 8095, tls: Some([7; 32]) });
        let answer = encoded(|out| Directory { client, content, image: &image }.encode(out));
        assert_eq!((question.len(), answer.len()), (INQUIRY_LEN, INQUIRY_LEN));
        assert_eq!(Inquiry::decode(&question).unwrap().image, &image[..TEXT_LIMIT]);
        assert_eq!(Directory::decode(&answer).unwrap().image, &image[..TEXT_LIMIT]);
    }

    #[test]
    fn an_inquiry_that_is_too_short_or_too_long_or_not_filled_with_zeros_is_refused() {
        let good = encoded(|out| Inquiry { client: ClientId(1), image: "a" }.encode(out));
        let of_len = |len: usize| {
            let mut datagram = good.clone();
            datagram.resize(len, 0);
            datagram[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            datagram
        };
        assert_eq!(Inquiry::decode(&of_len(19)), Err(WireError::Truncated { what: "filling" }));
        assert_eq!(Inquiry::decode(&of_len(INQUIRY_LEN - 1)), Err(WireError::Truncated { what: "filling" }));
        let trailing = WireError::Trailing { what: "inquiry", bytes: 1 };
        assert_eq!(Inquiry::decode(&of_len(INQUIRY_LEN + 1)), Err(trailing));
        let mut filled = good;
        filled[40] = 9;
        assert!(matches!(Inquiry::decode(&filled), Err(WireError::Value { field: "filling", value: 9, .. })));
    }

    #[test]
    fn a_fingerprint_without_tls_and_tls_without_a_port_are_refused() {
        let content = Some(ContentLocation { port: 1, tls: Some([7; 32]) });
        let good = encoded(|out| Directory { client: ClientId(1), content, image: "" }.encode(out));
        let changed = |at: usize, to: &[u8]| {
            let mut datagram = good.clone();
            datagram[at..at + to.len()].copy_from_slice(to);
            Directory::decode(&datagram).unwrap_err()
        };
        assert!(matches!(changed(1, &[0]), WireError::Value { field: "fingerprint", value: 7, .. }));
        assert!(matches!(changed(16, &[0, 0]), WireError::Value { field: "port", .. }));
        assert!(matches!(changed(1, &[2]), WireError::Flags { found: 2, .. }));
        assert!(matches!(changed(7, &[5]), WireError::Value { field: "session", value: 5, .. }));
    }
}
