//! Sending to a group, in batches that the system cuts into datagrams.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use socket2::Socket;

use super::error::NetError;
use super::interface::Interface;
use super::socket::{BufferSize, ControlSocket, bind, local_address, new_socket};
use super::sys::{self, SendFault, Target};
use crate::pace::largest_payload;

/// Bytes of payload that one call sends at most: the largest UDP datagram over IPv4.
pub const MAX_BATCH_BYTES: usize = 65_507;

/// Datagrams that one call sends at most (Linux has this limit since UDP segmentation exists; newer
/// kernels take 128).
pub const MAX_SEGMENTS: usize = 64;

/// How a [`MulticastSender`] sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderOptions {
    /// Routers that a datagram may pass, plus one: TTL or hop limit.
    pub ttl: u8,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
    /// Bytes to ask for as the socket's send buffer.
    pub send_buffer: usize,
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self { ttl: 1, dscp: 0, send_buffer: crate::pace::Profile::Gigabit.send_buffer() }
    }
}

/// What a [`MulticastSender`] did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SendStats {
    /// Datagrams handed to the system.
    pub datagrams: u64,
    /// Times that the interface's queue was full and was waited for. Receivers on this host get what
    /// was tried again more than once.
    pub waits: u64,
    /// Datagrams given up because that queue stayed full: lost before they left.
    pub refused: u64,
}

impl SendStats {
    /// The sums of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            datagrams: self.datagrams + other.datagrams,
            waits: self.waits + other.waits,
            refused: self.refused + other.refused,
        }
    }
}

/// Sends to groups through one interface. It blocks while the socket's buffer is full.
///
/// What it sends is also seen by receivers on this host.
#[derive(Debug)]
pub struct MulticastSender {
    socket: Socket,
    interface: String,
    local: SocketAddr,
    /// Bytes of an IP packet.
    mtu: usize,
    send_buffer: BufferSize,
    gso: bool,
    stats: SendStats,
}

/// A full queue is waited for this long, some times: 20 ms in all, at 10 Mbit/s the time of 16 frames.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);
const QUEUE_PAUSES: u32 = 20;
/// An interface that takes nothing for this long is reported instead of hanging the thread.
const STALL: Duration = Duration::from_secs(1);

impl MulticastSender {
    /// A sender through `interface` to groups of the family of `group`.
    pub fn new(interface: &Interface, group: IpAddr, options: &SenderOptions) -> Result<Self, NetError> {
        let name = &interface.name;
        let from =
            interface.address_for(group).ok_or_else(|| NetError::NoAddress { interface: name.clone(), group })?;
        let address = interface.socket_address(from, 0);
        let socket = new_socket(address).map_err(|source| NetError::Bind { address, source })?;
        bind(&socket, address)?;
        let local = local_address(&socket).map_err(|source| NetError::Bind { address, source })?;
        configure(&socket, interface, from, options).map_err(|(option, source)| NetError::Option {
            option,
            interface: name.clone(),
            source,
        })?;
        let granted = sys::set_send_buffer(&socket, options.send_buffer).map_err(|source| NetError::Option {
            option: "the send buffer",
            interface: name.clone(),
            source,
        })?;
        Ok(Self {
            socket,
            interface: name.clone(),
            local,
            mtu: interface.mtu,
            send_buffer: BufferSize { asked: options.send_buffer, granted },
            gso: true,
            stats: SendStats::default(),
        })
    }

    /// A sender to single hosts from the control socket, whose port they, and the firewalls between, expect
    /// answers from: these answers get the same DSCP.
    pub fn to_one(control: &ControlSocket, interface: &Interface, options: &SenderOptions) -> Result<Self, NetError> {
        let system = |source| NetError::Bind { address: control.local_address(), source };
        let socket = control.socket().try_clone().map_err(system)?;
        let refused = |option| {
            let interface = interface.name.clone();
            move |source| NetError::Option { option, interface, source }
        };
        let tos = traffic_class(options);
        match control.local_address() {
            SocketAddr::V4(_) => socket.set_tos_v4(tos).map_err(refused("the DSCP"))?,
            SocketAddr::V6(_) => socket.set_tclass_v6(tos).map_err(refused("the DSCP"))?,
        }
        let granted = sys::set_send_buffer(&socket, options.send_buffer).map_err(refused("the send buffer"))?;
        Ok(Self {
            socket,
            interface: interface.name.clone(),
            local: control.local_address(),
            mtu: interface.mtu,
            send_buffer: BufferSize { asked: options.send_buffer, granted },
            gso: true,
            stats: SendStats::default(),
        })
    }

    /// The address and port that its datagrams come from; the address is the source of
    /// source-specific groups.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The send buffer that it has.
    pub fn send_buffer(&self) -> BufferSize {
        self.send_buffer
    }

    /// Whether the system cuts batches into datagrams; false once it, or the interface's driver,
    /// refused to: then each datagram takes a call of its own.
    pub fn gso(&self) -> bool {
        self.gso
    }

    /// Sends every datagram by a call of its own from now on.
    pub fn disable_gso(&mut self) {
        self.gso = false;
    }

    /// What it did so far.
    pub fn stats(&self) -> SendStats {
        self.stats
    }

    /// Sends one datagram.
    pub fn send_to(&mut self, datagram: &[u8], to: SocketAddr) -> Result<(), NetError> {
        self.check_size(datagram.len(), to)?;
        self.send(&[IoSlice::new(datagram)], None, 1, to, &to.into())
    }

    /// Sends the bytes of `slices`, one after the other, as `count` datagrams of `segment` bytes; the
    /// last one may be shorter. Slices need not end where datagrams do.
    pub fn send_batch(
        &mut self,
        slices: &[IoSlice<'_>],
        segment: usize,
        count: usize,
        to: SocketAddr,
    ) -> Result<(), NetError> {
        let bytes = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if segment == 0 || bytes.div_ceil(segment) != count || bytes > MAX_BATCH_BYTES || count > MAX_SEGMENTS {
            return Err(NetError::Batch { bytes, segment, segments: count });
        }
        self.check_size(segment.min(bytes), to)?;
        let target = Target::from(to);
        if count == 1 {
            return self.send(slices, None, 1, to, &target);
        }
        if self.gso {
            // A datagram is at most 65,507 bytes long: checked above.
            let size = segment as u16;
            self.send(slices, Some(size), count, to, &target)?;
            // It may have been found out just now, with nothing sent.
            if self.gso {
                return Ok(());
            }
        }
        self.send_each(slices, segment, to, &target)
    }

    /// The datagrams of a batch one by one.
    fn send_each(
        &mut self,
        slices: &[IoSlice<'_>],
        segment: usize,
        to: SocketAddr,
        target: &Target,
    ) -> Result<(), NetError> {
        let mut datagram: Vec<IoSlice<'_>> = Vec::with_capacity(slices.len());
        let mut room = segment;
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(room));
                datagram.push(IoSlice::new(piece));
                (rest, room) = (behind, room - piece.len());
                if room == 0 {
                    self.send(&datagram, None, 1, to, target)?;
                    datagram.clear();
                    room = segment;
                }
            }
        }
        if datagram.is_empty() { Ok(()) } else { self.send(&datagram, None, 1, to, target) }
    }

    /// One call, again while the interface's queue is full. A refusal to segment is noted and nothing
    /// is sent.
    fn send(
        &mut self,
        slices: &[IoSlice<'_>],
        segment: Option<u16>,
        count: usize,
        to: SocketAddr,
        target: &Target,
    ) -> Result<(), NetError> {
        let interface = |sender: &Self| sender.interface.clone();
        for _ in 0..QUEUE_PAUSES {
            match sys::send(&self.socket, slices, segment, target) {
                Ok(()) => {
                    self.stats.datagrams += count as u64;
                    return Ok(());
                }
                Err(SendFault::NoSegmentation(_)) => {
                    self.gso = false;
                    return Ok(());
                }
                Err(SendFault::NoBuffers) => {
                    self.stats.waits += 1;
                    thread::sleep(QUEUE_PAUSE);
                }
                // A control socket never blocks.
                Err(SendFault::TimedOut) if self.socket.nonblocking().unwrap_or(false) => {
                    if !sys::wait_for_room(&self.socket, STALL) {
                        return Err(NetError::Stalled { interface: interface(self) });
                    }
                }
                Err(SendFault::TimedOut) => return Err(NetError::Stalled { interface: interface(self) }),
                Err(SendFault::Unreachable(source)) => {
                    return Err(NetError::LinkDown { interface: interface(self), source });
                }
                Err(SendFault::BadMemory) => return Err(NetError::Vanished),
                Err(SendFault::Other(source)) => return Err(NetError::Send { to, interface: interface(self), source }),
            }
        }
        self.stats.refused += count as u64;
        Ok(())
    }

    /// Fragments would multiply the loss, and many switches drop them.
    fn check_size(&self, size: usize, to: SocketAddr) -> Result<(), NetError> {
        let limit = largest_payload(to.ip(), self.mtu).min(MAX_BATCH_BYTES);
        if size > limit {
            return Err(NetError::TooLarge { size, limit, interface: self.interface.clone() });
        }
        Ok(())
    }
}

/// Sets everything but the buffer; on failure, says which option it was.
fn configure(
    socket: &Socket,
    interface: &Interface,
    from: IpAddr,
    options: &SenderOptions,
) -> Result<(), (&'static str, io::Error)> {
    let named = |option: &'static str| move |source| (option, source);
    let (ttl, tos) = (u32::from(options.ttl), traffic_class(options));
    // Loop: clients may run on the server's own host.
    match from {
        IpAddr::V4(v4) => {
            socket.set_multicast_if_v4(&v4).map_err(named("the interface"))?;
            socket.set_multicast_ttl_v4(ttl).map_err(named("the TTL"))?;
            socket.set_multicast_loop_v4(true).map_err(named("the loop"))?;
            socket.set_tos_v4(tos).map_err(named("the DSCP"))?;
        }
        IpAddr::V6(_) => {
            socket.set_multicast_if_v6(interface.index).map_err(named("the interface"))?;
            socket.set_multicast_hops_v6(ttl).map_err(named("the hop limit"))?;
            socket.set_multicast_loop_v6(true).map_err(named("the loop"))?;
            socket.set_tclass_v6(tos).map_err(named("the DSCP"))?;
        }
    }
    socket.set_write_timeout(Some(STALL)).map_err(named("the send timeout"))?;
    sys::report_full_queues(socket, from.is_ipv6()).map_err(named("reports of full queues"))
}

fn traffic_class(options: &SenderOptions) -> u32 {
    u32::from(options.dscp.min(63)) << 2
}

#[cfg(test)]
mod tests {
    use super::super::choose;
    use super::*;

    fn sender() -> (MulticastSender, SocketAddr) {
        let lo = choose(Some("lo")).unwrap();
        let to = SocketAddr::from(([239, 194, 7, 1], 9));
        (MulticastSender::new(&lo, to.ip(), &SenderOptions::default()).unwrap(), to)
    }

    #[test]
    fn what_would_be_fragmented_is_refused() {
        let eth = Interface { mtu: 1400, ..choose(Some("lo")).unwrap() };
        let to = SocketAddr::from(([239, 194, 7, 1], 9));
        let mut sender = MulticastSender::new(&eth, to.ip(), &SenderOptions::default()).unwrap();
        let error = sender.send_to(&[0; 1472], to).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a datagram of 1472 bytes does not fit into one frame of interface lo, at most 1372 do"
        );
        assert!(sender.send_to(&[0; 1372], to).is_ok());
        assert_eq!(sender.stats().datagrams, 1);
    }

    #[test]
    fn a_batch_beyond_the_limits_or_wrongly_counted_is_refused() {
        let (mut sender, to) = sender();
        let bytes = vec![0; 66_000];
        for (len, segment, count) in [(66_000, 1472, 45), (100, 0, 1), (100, 50, 3), (65, 1, 65), (0, 10, 1)] {
            let error = sender.send_batch(&[IoSlice::new(&bytes[..len])], segment, count, to).unwrap_err();
            assert!(matches!(error, NetError::Batch { .. }), "{len} {segment} {count}: {error}");
        }
    }

    #[test]
    fn an_interface_without_an_address_of_the_family_is_named() {
        let bare = Interface { v4: Vec::new(), ..choose(Some("lo")).unwrap() };
        let error = MulticastSender::new(&bare, IpAddr::from([239, 1, 1, 1]), &SenderOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), "interface lo has no address to reach group 239.1.1.1 from");
    }

    #[test]
    fn an_image_truncated_while_it_is_sent_is_told_apart() {
        let (mut sender, to) = sender();
        let file = tempfile::tempfile().unwrap();
        file.set_len(16_384).unwrap();
        let image = map(&file);
        file.set_len(4096).unwrap();
        let slice = IoSlice::new(&image[8192..9192]);
        for _ in 0..2 {
            assert!(matches!(sender.send_batch(&[slice], 500, 2, to), Err(NetError::Vanished)));
            sender.disable_gso();
        }
    }

    #[allow(unsafe_code)]
    fn map(file: &std::fs::File) -> memmap2::Mmap {
        // SAFETY: the test never reads the mapping itself, only the kernel does, which answers EFAULT.
        unsafe { memmap2::Mmap::map(file).unwrap() }
    }
}
