//! How a network is tried before it is needed: questions of any size, their answers, and a short stream of
//! samples.

use std::net::{IpAddr, SocketAddr};

use super::cursor::{Reader, Writer, no_session};
use super::{Kind, WireError};
use crate::types::{ClientId, Sequence, SessionId};

/// Bytes of a probe, of its echo and of a sample at least.
pub const MIN_PROBE_LEN: usize = 72;
/// Bytes of a probe, of its echo and of a sample at most: a full frame over IPv4. These alone may be longer
/// than other control datagrams.
pub const MAX_PROBE_LEN: usize = 1472;
/// Bytes of a [`Sample`] in front of its filling.
pub const SAMPLE_HEADER_LEN: usize = 24;

/// A client tries the way to the server and back, and may ask for samples.
///
/// | offset | width | field                                                              |
/// |-------:|------:|--------------------------------------------------------------------|
/// |      0 |     8 | common prefix; session 0                                           |
/// |      8 |     8 | client                                                             |
/// |     16 |     4 | number of the question                                             |
/// |     20 |     1 | samples wanted: 0 none, 1 to a group, 2 to the client alone        |
/// |     21 |     1 | 0                                                                  |
/// |     22 |     2 | bytes of the answer: 72 up to this datagram's own length           |
/// |     24 |     4 | samples: kbit/s on the wire at most; without samples 0             |
/// |     28 |     2 | samples: for how many ms; without samples 0                        |
/// |     30 |     2 | samples: bytes of each, 72 to 1,472; without samples 0             |
/// |     32 |     8 | key out of an echo; 0 if it has none yet                           |
/// |     40 |     … | zeros; the datagram has 72 to 1,472 bytes                          |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Who asks.
    pub client: ClientId,
    /// Of the question; one that is asked again keeps it.
    pub number: u32,
    /// Samples that are wanted.
    pub samples: Option<SampleWish>,
    /// Proof that who asks gets what is sent to where it asks from, [`Echo::key`]; 0 if it has none yet.
    pub key: u64,
    /// Bytes of this datagram, [`MIN_PROBE_LEN`] to [`MAX_PROBE_LEN`].
    pub len: u16,
    /// Bytes that the answer is to have, [`MIN_PROBE_LEN`] to `len`.
    pub echo_len: u16,
}

/// Samples as a client wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleWish {
    /// Where they are to go.
    pub way: SampleWay,
    /// 10³ bits per second on the wire at most, headers counted.
    pub rate_kbit: u32,
    /// For how long, ms.
    pub ms: u16,
    /// Bytes of each datagram, [`MIN_PROBE_LEN`] to [`MAX_PROBE_LEN`].
    pub len: u16,
}

/// Where samples go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SampleWay {
    /// To a group, as a session's stream.
    Group = 1,
    /// To the client alone, from the control port.
    Client = 2,
}

impl Probe {
    /// Reads a probe.
    pub fn decode(datagram: &[u8]) -> Result<Self, WireError> {
        let (_, session, mut r) = Reader::open(datagram, "probe", Kind::Probe, 0)?;
        no_session(session)?;
        let len = length(datagram)?;
        let (client, number, way) = (r.client()?, r.u32("number")?, r.u8("samples wanted")?);
        r.zeros(1, "reserved byte")?;
        let echo_len = r.u16("bytes of the answer")?;
        if !(MIN_PROBE_LEN as u16..=len).contains(&echo_len) {
            let bound = "72 up to the question's own length";
            return Err(WireError::Value { field: "bytes of the answer", value: echo_len.into(), bound });
        }
        let (rate_kbit, ms, size) = (r.u32("rate of samples")?, r.u16("time of samples")?, r.u16("bytes of a sample")?);
        let way = match way {
            0 => None,
            1 => Some(SampleWay::Group),
            2 => Some(SampleWay::Client),
            other => {
                return Err(WireError::Value { field: "samples wanted", value: other.into(), bound: "0, 1 or 2" });
            }
        };
        let samples = match way {
            Some(way) if (MIN_PROBE_LEN..=MAX_PROBE_LEN).contains(&size.into()) => {
                Some(SampleWish { way, rate_kbit, ms, len: size })
            }
            None if (rate_kbit, ms, size) == (0, 0, 0) => None,
            Some(_) => {
                return Err(WireError::Value { field: "bytes of a sample", value: size.into(), bound: "72 to 1,472" });
            }
            None => return Err(WireError::Value { field: "terms of samples", value: 1, bound: "0 without samples" }),
        };
        let key = r.u64("key")?;
        r.only_zeros("filling")?;
        Ok(Self { client, number, samples, key, len, echo_len })
    }

    /// Appends it to `out`; lengths beyond their limits are moved into them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let len = within(self.len);
        let end = out.len() + usize::from(len);
        let (way, rate_kbit, ms, size) =
            self.samples.map_or((0, 0, 0, 0), |wish| (wish.way as u8, wish.rate_kbit, wish.ms, within(wish.len)));
        let mut w = Writer::open(out, Kind::Probe, 0, SessionId(0));
        w.client(self.client).u32(self.number).u8(way).u8(0).u16(within(self.echo_len).min(len));
        w.u32(rate_kbit).u16(ms).u16(size).u64(self.key).zeros_to(end);
        w.finish();
    }
}

/// Answer to a probe.
///
/// | offset | width | field                                                              |
/// |-------:|------:|--------------------------------------------------------------------|
/// |      0 |     8 | common prefix; session 0                                           |
/// |      8 |     8 | client that it is for                                              |
/// |     16 |     4 | number of the question                                             |
/// |     20 |     8 | the server's clock: ms since 1970-01-01 00:00 UTC                  |
/// |     28 |     4 | kbit/s that samples may have at most, 0 if the server sends none   |
/// |     32 |     2 | bytes of the largest datagram that its interface sends in a piece  |
/// |     34 |     1 | samples: 0 not asked for, 1 they come, 2 it sends none, 3 not now, 4 no group is free, 5 the key is wrong |
/// |     35 |     1 | 0                                                                  |
/// |     36 |     4 | they come: ms until the first; not now: ms until another try; else 0 |
/// |     40 |     4 | they come: kbit/s; otherwise 0                                     |
/// |     44 |    16 | they come: the group, or the client's own address; otherwise `::`  |
/// |     60 |     2 | they come: UDP port; otherwise 0                                   |
/// |     62 |     2 | they come: for how many ms; otherwise 0                            |
/// |     64 |     8 | key for asking for samples                                         |
/// |     72 |     … | zeros; as many bytes as were wanted, or fewer if these are too many for one piece |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// The client that it is for.
    pub client: ClientId,
    /// Of the question.
    pub number: u32,
    /// The server's clock, ms since 1970-01-01 00:00 UTC.
    pub clock_ms: u64,
    /// 10³ bits per second that samples may have at most, 0 if the server sends none.
    pub rate_kbit: u32,
    /// Bytes of the largest datagram that the server's interface sends in one piece.
    pub largest: u16,
    /// What becomes of the samples that were asked for.
    pub answer: SampleAnswer,
    /// By which the client asks for samples.
    pub key: u64,
    /// Bytes of this datagram, [`MIN_PROBE_LEN`] to [`MAX_PROBE_LEN`].
    pub len: u16,
}

/// What becomes of the samples that a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleAnswer {
    /// None were asked for.
    None,
    /// They come.
    Coming(Samples),
    /// This server sends none.
    Off,
    /// Not now: somebody else gets some, or a session runs.
    Busy {
        /// Milliseconds after which to ask again.
        retry_ms: u32,
    },
    /// No group and port is free for them.
    NoPlace,
    /// The key was not the one for this address: it is in this echo.
    Key,
}

/// Samples as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples {
    /// Milliseconds until the first.
    pub starts_in_ms: u32,
    /// 10³ bits per second on the wire, headers counted.
    pub rate_kbit: u32,
    /// The group and its port, or the client's own address.
    pub to: SocketAddr,
    /// For how long, ms.
    pub ms: u16,
}

impl Echo {
    /// Reads an echo.
    pub fn decode(datagram: &[u8]) -> Result<Self, WireError> {
        let (_, session, mut r) = Reader::open(datagram, "echo", Kind::Echo, 0)?;
        no_session(session)?;
        let len = length(datagram)?;
        let (client, number, clock_ms) = (r.client()?, r.u32("number")?, r.u64("clock")?);
        let (rate_kbit, largest, code) = (r.u32("rate of samples")?, r.u16("largest datagram")?, r.u8("answer")?);
        r.zeros(1, "reserved byte")?;
        let (in_ms, rate, ip) = (r.u32("time until the samples")?, r.u32("rate")?, r.address("group")?);
        let (port, ms) = (r.u16("port")?, r.u16("time of samples")?);
        let nowhere = IpAddr::from([0u16; 8]);
        let blank = (rate, ip, port, ms) == (0, nowhere, 0, 0);
        let answer = match (code, blank, in_ms) {
            (0, true, 0) => SampleAnswer::None,
            (1, _, _) => SampleAnswer::Coming(Samples {
                starts_in_ms: in_ms,
                rate_kbit: rate,
                to: SocketAddr::new(ip, port),
                ms,
            }),
            (2, true, 0) => SampleAnswer::Off,
            (3, true, _) => SampleAnswer::Busy { retry_ms: in_ms },
            (4, true, 0) => SampleAnswer::NoPlace,
            (5, true, 0) => SampleAnswer::Key,
            (0..=5, _, _) => {
                let bound = "0 where no samples come";
                return Err(WireError::Value { field: "terms of samples", value: 1, bound });
            }
            (other, _, _) => {
                return Err(WireError::Value { field: "answer", value: other.into(), bound: "0 to 5" });
            }
        };
        let key = r.u64("key")?;
        r.only_zeros("filling")?;
        Ok(Self { client, number, clock_ms, rate_kbit, largest, answer, key, len })
    }

    /// Appends it to `out`; a length beyond its limits is moved into them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(within(self.len));
        let nowhere = SocketAddr::from(([0u16; 8], 0));
        let (code, in_ms, rate, to, ms) = match self.answer {
            SampleAnswer::None => (0, 0, 0, nowhere, 0),
            SampleAnswer::Coming(Samples { starts_in_ms, rate_kbit, to, ms }) => (1, starts_in_ms, rate_kbit, to, ms),
            SampleAnswer::Off => (2, 0, 0, nowhere, 0),
            SampleAnswer::Busy { retry_ms } => (3, retry_ms, 0, nowhere, 0),
            SampleAnswer::NoPlace => (4, 0, 0, nowhere, 0),
            SampleAnswer::Key => (5, 0, 0, nowhere, 0),
        };
        let mut w = Writer::open(out, Kind::Echo, 0, SessionId(0));
        w.client(self.client).u32(self.number).u64(self.clock_ms).u32(self.rate_kbit).u16(self.largest).u8(code).u8(0);
        w.u32(in_ms).u32(rate).address(to.ip()).u16(to.port()).u16(ms).u64(self.key).zeros_to(end);
        w.finish();
    }
}

/// One of the datagrams of a trial. The filling is not part of it.
///
/// Flag 1: it is one of those at the end, and its sequence is how many were sent.
///
/// | offset | width | field                                            |
/// |-------:|------:|--------------------------------------------------|
/// |      0 |     8 | common prefix; session 0                         |
/// |      8 |     8 | client that asked for it                         |
/// |     16 |     4 | number of its question                           |
/// |     20 |     4 | sequence: samples sent before this one           |
/// |     24 |     … | zeros; the datagram has 72 to 1,472 bytes        |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The client that asked for it.
    pub client: ClientId,
    /// Of its question.
    pub number: u32,
    /// Samples sent before this one; of a last one, how many were sent in all.
    pub sequence: Sequence,
    /// Whether nothing but the like follows.
    pub last: bool,
    /// Bytes of the datagram, [`MIN_PROBE_LEN`] to [`MAX_PROBE_LEN`].
    pub len: u16,
}

impl Sample {
    /// Reads a sample.
    pub fn decode(datagram: &[u8]) -> Result<Self, WireError> {
        let (flags, session, mut r) = Reader::open(datagram, "sample", Kind::Sample, 1)?;
        no_session(session)?;
        let len = length(datagram)?;
        let (client, number, sequence) = (r.client()?, r.u32("number")?, Sequence(r.u32("sequence")?));
        r.only_zeros("filling")?;
        Ok(Self { client, number, sequence, last: flags & 1 != 0, len })
    }

    /// What stands in front of its filling, to be gathered with zeros.
    pub fn header(&self) -> [u8; SAMPLE_HEADER_LEN] {
        let mut header = [0; SAMPLE_HEADER_LEN];
        header[0] = Kind::Sample.first_byte();
        header[1] = self.last.into();
        header[2..4].copy_from_slice(&within(self.len).to_be_bytes());
        header[8..16].copy_from_slice(&self.client.0.to_be_bytes());
        header[16..20].copy_from_slice(&self.number.to_be_bytes());
        header[20..24].copy_from_slice(&self.sequence.0.to_be_bytes());
        header
    }

    /// Appends all of it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(within(self.len));
        out.extend(self.header());
        out.resize(end, 0);
    }
}

/// The length of what is as long as its sender chose.
fn length(datagram: &[u8]) -> Result<u16, WireError> {
    match datagram.len() {
        MIN_PROBE_LEN..=MAX_PROBE_LEN => Ok(datagram.len() as u16),
        len => Err(WireError::Value { field: "length", value: len as u64, bound: "72 to 1,472" }),
    }
}

fn within(len: u16) -> u16 {
    len.clamp(MIN_PROBE_LEN as u16, MAX_PROBE_LEN as u16)
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

    fn lengths() -> std::ops::RangeInclusive<u16> {
        MIN_PROBE_LEN as u16..=MAX_PROBE_LEN as u16
    }

    fn wishes() -> impl Strategy<Value = Option<SampleWish>> {
        let way = prop_oneof![Just(SampleWay::Group), Just(SampleWay::Client)];
        let wish = (way, any::<u32>(), any::<u16>(), lengths());
        proptest::option::of(wish.prop_map(|(way, rate_kbit, ms, len)| SampleWish { way, rate_kbit, ms, len }))
    }

    fn answers() -> impl Strategy<Value = SampleAnswer> {
        let coming = (any::<u32>(), any::<u32>(), any::<[u8; 4]>(), any::<u16>(), any::<u16>());
        prop_oneof![
            Just(SampleAnswer::None),
            Just(SampleAnswer::Off),
            Just(SampleAnswer::NoPlace),
            Just(SampleAnswer::Key),
            any::<u32>().prop_map(|retry_ms| SampleAnswer::Busy { retry_ms }),
            coming.prop_map(|(starts_in_ms, rate_kbit, ip, port, ms)| {
                SampleAnswer::Coming(Samples { starts_in_ms, rate_kbit, to: SocketAddr::from((ip, port)), ms })
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_probe_comes_back(client: u64, number: u32, samples in wishes(), key: u64, len in lengths(), echo in 0.0..=1.0) {
            let spare = f64::from(len - MIN_PROBE_LEN as u16);
            let echo_len = MIN_PROBE_LEN as u16 + (spare * echo) as u16;
            let probe = Probe { client: ClientId(client), number, samples, key, len, echo_len };
            let bytes = encoded(|out| probe.encode(out));
            prop_assert_eq!(bytes.len(), usize::from(len));
            prop_assert_eq!(Packet::decode(&bytes), Ok(Packet::Probe(probe)));
        }

        #[test]
        fn an_echo_comes_back(
            numbers: (u64, u32, u64, u32),
            largest: u16,
            answer in answers(),
            key: u64,
            len in lengths(),
        ) {
            let (client, number, clock_ms, rate_kbit) = numbers;
            let echo = Echo { client: ClientId(client), number, clock_ms, rate_kbit, largest, answer, key, len };
            let bytes = encoded(|out| echo.encode(out));
            prop_assert_eq!(Packet::decode(&bytes), Ok(Packet::Echo(echo)));
        }

        #[test]
        fn a_sample_comes_back(client: u64, number: u32, sequence: u32, last: bool, len in lengths()) {
            let sample = Sample { client: ClientId(client), number, sequence: Sequence(sequence), last, len };
            let bytes = encoded(|out| sample.encode(out));
            prop_assert!(bytes.starts_with(&sample.header()));
            prop_assert_eq!(Packet::decode(&bytes), Ok(Packet::Sample(sample)));
        }
    }

    fn probe() -> Vec<u8> {
        let probe = Probe { client: ClientId(1), number: 2, samples: None, key: 0, len: 100, echo_len: 100 };
        encoded(|out| probe.encode(out))
    }

    /// With `value` at `offset` of a good probe.
    fn bent(offset: usize, value: u8) -> Result<Probe, WireError> {
        let mut datagram = probe();
        datagram[offset] = value;
        Probe::decode(&datagram)
    }

    #[test]
    fn no_answer_may_be_wanted_larger_than_its_question() {
        let error = bent(23, 101).unwrap_err();
        let bound = "72 up to the question's own length";
        assert_eq!(error, WireError::Value { field: "bytes of the answer", value: 101, bound });
        assert!(bent(23, 71).is_err() && bent(23, 72).is_ok());
        let greedy = Probe { client: ClientId(1), number: 2, samples: None, key: 0, len: 80, echo_len: 900 };
        assert_eq!(Probe::decode(&encoded(|out| greedy.encode(out))).unwrap().echo_len, 80);
    }

    #[test]
    fn a_probe_that_says_what_it_must_not_is_refused() {
        assert!(bent(7, 1).is_err(), "a session");
        assert!(bent(20, 3).is_err(), "a third way");
        assert!(bent(21, 1).is_err(), "the reserved byte");
        assert!(bent(30, 5).is_err(), "terms without samples");
        assert!(bent(20, 1).is_err(), "samples of no bytes");
        assert!(bent(99, 1).is_err(), "filling");
        assert!(Probe::decode(&probe()[..71]).is_err());
    }

    #[test]
    fn an_echo_without_samples_has_no_terms_of_them() {
        let answer = SampleAnswer::Off;
        let (client, len) = (ClientId(1), 72);
        let echo = Echo { client, number: 1, clock_ms: 1, rate_kbit: 1, largest: 1472, answer, key: 9, len };
        for offset in [35, 36, 40, 44, 60, 63] {
            let mut datagram = encoded(|out| echo.encode(out));
            datagram[offset] = 1;
            assert!(Echo::decode(&datagram).is_err(), "{offset}");
        }
    }
}
