//! Receiving from a group.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use socket2::{InterfaceIndexOrAddress, Socket};

use super::error::NetError;
use super::interface::Interface;
use super::socket::{BufferSize, bind, new_socket};
use super::sys::{self, ControlBuffer, Handle};
use crate::address::{GroupClass, classify};

/// Bytes of the buffer that [`MulticastReceiver::receive`] needs, so that it never cuts anything off.
pub const RECEIVE_BUFFER: usize = 65_536;

/// One or more datagrams of one sender, received at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes of all of them, at the buffer's start.
    pub len: usize,
    /// Bytes of each but the last, which may be shorter; equal to `len` if there is one.
    pub segment: usize,
    /// Who sent them.
    pub from: SocketAddr,
    /// Messages that the system dropped since the join because the socket's buffer was full, counted
    /// when this one was queued. A message is what one call would have given: one datagram, or up to
    /// 64 KiB of them.
    pub drops: u64,
}

impl Received {
    /// The datagrams in `buf`, the buffer they were received into.
    pub fn datagrams<'a>(&self, buf: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        buf[..self.len.min(buf.len())].chunks(self.segment.max(1))
    }
}

/// A member of one group on one interface; it never blocks.
///
/// Several receivers on one host each get everything.
pub struct MulticastReceiver {
    socket: Socket,
    control: ControlBuffer,
    receive_buffer: BufferSize,
    gro: bool,
    drops: u64,
    truncated: u64,
}

impl MulticastReceiver {
    /// Joins `group` on `interface`, with `source` for datagrams of that sender only, and asks for a
    /// receive buffer of `receive_buffer` bytes.
    pub fn join(
        interface: &Interface,
        group: SocketAddr,
        source: Option<IpAddr>,
        receive_buffer: usize,
    ) -> Result<Self, NetError> {
        let ip = group.ip();
        if source.is_none() && classify(ip).is_some_and(GroupClass::needs_source) {
            return Err(NetError::NeedsSource { group: ip });
        }
        let address = sys::bind_address(interface, ip, group.port());
        let socket = new_socket(address).map_err(|source| NetError::Bind { address, source })?;
        socket.set_reuse_address(true).map_err(|source| NetError::Bind { address, source })?;
        bind(&socket, address)?;
        let option = |option| move |source| NetError::Option { option, interface: interface.name.clone(), source };
        sys::only_own_groups(&socket, ip.is_ipv6()).map_err(option("its groups"))?;
        let granted = sys::set_receive_buffer(&socket, receive_buffer).map_err(option("the receive buffer"))?;
        let gro = sys::enable_gro(&socket);
        // Without it drops show as loss all the same, only not where they happened.
        sys::enable_drop_counter(&socket);
        join(&socket, interface, ip, source)?;
        Ok(Self {
            socket,
            control: ControlBuffer::new(),
            receive_buffer: BufferSize { asked: receive_buffer, granted },
            gro,
            drops: 0,
            truncated: 0,
        })
    }

    /// The receive buffer that it has.
    pub fn receive_buffer(&self) -> BufferSize {
        self.receive_buffer
    }

    /// Whether the system hands over several datagrams at once.
    pub fn gro(&self) -> bool {
        self.gro
    }

    /// What the system dropped since the join, see [`Received::drops`].
    pub fn drops(&self) -> u64 {
        self.drops
    }

    /// Messages that were longer than the buffer given to [`receive`](Self::receive), and were left out.
    pub fn truncated(&self) -> u64 {
        self.truncated
    }

    /// Takes what came next; `None` if there is nothing now. `buf` should hold [`RECEIVE_BUFFER`] bytes.
    pub fn receive(&mut self, buf: &mut [u8]) -> io::Result<Option<Received>> {
        while let Some(message) = sys::receive(&self.socket, buf, &mut self.control)? {
            if let Some(drops) = message.drops {
                // The system counts modulo 2³².
                self.drops += u64::from(drops.wrapping_sub(self.drops as u32));
            }
            if message.truncated {
                self.truncated += 1;
                continue;
            }
            let segment = message.segment.filter(|segment| *segment > 0).unwrap_or(message.len);
            return Ok(Some(Received { len: message.len, segment, from: message.from, drops: self.drops }));
        }
        Ok(None)
    }

    /// To wait for.
    pub fn handle(&self) -> Handle<'_> {
        self.socket.as_fd()
    }
}

fn join(socket: &Socket, interface: &Interface, group: IpAddr, source: Option<IpAddr>) -> Result<(), NetError> {
    let joined = match (group, source) {
        (IpAddr::V4(group), None) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface.index))
        }
        (IpAddr::V6(group), None) => socket.join_multicast_v6(&group, interface.index),
        (IpAddr::V4(v4), Some(IpAddr::V4(source))) => {
            let Some(local) = interface.v4.first() else {
                return Err(NetError::NoAddress { interface: interface.name.clone(), group });
            };
            socket.join_ssm_v4(&source, &v4, local)
        }
        (_, Some(from)) => return Err(NetError::SourceFamily { group, from }),
    };
    joined.map_err(|source| NetError::Join { group, interface: interface.name.clone(), source })
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::net::{Ipv4Addr, UdpSocket};
    use std::time::Duration;

    use super::super::{ControlSocket, MulticastSender, SenderOptions, choose, wait};
    use super::*;

    const HEADER: usize = 16;
    const SYMBOL: usize = 1440;

    fn lo() -> Interface {
        choose(Some("lo")).unwrap()
    }

    /// Each test its own group, and a port that nobody holds.
    fn group(last: u8) -> SocketAddr {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        SocketAddr::from(([239, 194, 200, last], port))
    }

    fn sender(to: SocketAddr) -> MulticastSender {
        MulticastSender::new(&lo(), to.ip(), &SenderOptions::default()).unwrap()
    }

    fn receiver(group: SocketAddr) -> MulticastReceiver {
        MulticastReceiver::join(&lo(), group, None, 1 << 20).unwrap()
    }

    /// All datagrams that arrive until `count` are there or nothing comes for a second.
    fn take(receiver: &mut MulticastReceiver, count: usize) -> Vec<Vec<u8>> {
        let mut buf = vec![0; RECEIVE_BUFFER];
        let mut all = Vec::new();
        while all.len() < count && wait(&[receiver.handle()], Some(Duration::from_secs(1))).unwrap().contains(0) {
            while let Some(received) = receiver.receive(&mut buf).unwrap() {
                all.extend(received.datagrams(&buf).map(<[u8]>::to_vec));
            }
        }
        all
    }

    fn headers(count: usize) -> Vec<[u8; HEADER]> {
        (0..count).map(|index| [index as u8; HEADER]).collect()
    }

    /// Header and slice of each symbol, the last symbol shorter, as the engine sends them.
    fn gather<'a>(headers: &'a [[u8; HEADER]], image: &'a [u8]) -> Vec<IoSlice<'a>> {
        let symbols = image.chunks(SYMBOL);
        headers.iter().zip(symbols).flat_map(|(header, symbol)| [IoSlice::new(header), IoSlice::new(symbol)]).collect()
    }

    fn image(len: usize) -> Vec<u8> {
        let mut image = vec![0; len];
        fastrand::Rng::with_seed(3).fill(&mut image);
        image
    }

    fn batch_arrives_at_two_receivers(gso: bool, last: u8) {
        let to = group(last);
        let mut receivers = [receiver(to), receiver(to)];
        let mut sender = sender(to);
        if !gso {
            sender.disable_gso();
        }
        let (image, headers) = (image(43 * SYMBOL + 100), headers(44));
        sender.send_batch(&gather(&headers, &image), HEADER + SYMBOL, 44, to).unwrap();
        assert_eq!(sender.stats().datagrams, 44);
        let expected: Vec<_> = headers.iter().zip(image.chunks(SYMBOL)).map(|(h, s)| [h, s].concat()).collect();
        for receiver in &mut receivers {
            assert!(take(receiver, 44) == expected);
            assert_eq!((receiver.drops(), receiver.truncated()), (0, 0));
        }
    }

    #[test]
    fn a_batch_arrives_whole_at_two_receivers_of_one_host() {
        batch_arrives_at_two_receivers(true, 1);
    }

    #[test]
    fn a_batch_arrives_the_same_when_nothing_segments() {
        batch_arrives_at_two_receivers(false, 2);
    }

    #[test]
    fn without_segmentation_slices_may_end_anywhere() {
        let to = group(3);
        let mut receiver = receiver(to);
        let mut sender = sender(to);
        sender.disable_gso();
        let bytes = image(1000);
        let slices = [IoSlice::new(&bytes[..1]), IoSlice::new(&bytes[1..650]), IoSlice::new(&bytes[650..])];
        sender.send_batch(&slices, 300, 4, to).unwrap();
        let expected: Vec<_> = bytes.chunks(300).map(<[u8]>::to_vec).collect();
        assert!(take(&mut receiver, 4) == expected);
    }

    #[test]
    fn a_single_datagram_arrives_with_its_sender() {
        let to = group(4);
        let mut receiver = receiver(to);
        let mut sender = sender(to);
        sender.send_to(b"heartbeat", to).unwrap();
        wait(&[receiver.handle()], Some(Duration::from_secs(5))).unwrap();
        let mut buf = vec![0; RECEIVE_BUFFER];
        let received = receiver.receive(&mut buf).unwrap().unwrap();
        assert_eq!(received.from, sender.local_address());
        assert_eq!(received.datagrams(&buf).collect::<Vec<_>>(), [b"heartbeat"]);
        assert!(receiver.receive(&mut buf).unwrap().is_none());
    }

    #[test]
    fn what_the_system_drops_is_counted() {
        let to = group(5);
        let mut receiver = MulticastReceiver::join(&lo(), to, None, 32_768).unwrap();
        let mut sender = sender(to);
        let bytes = image(1000);
        for _ in 0..500 {
            sender.send_to(&bytes, to).unwrap();
        }
        let arrived = take(&mut receiver, 500).len();
        // The count comes with the first message that is queued after the drops.
        sender.send_to(&bytes, to).unwrap();
        assert_eq!(take(&mut receiver, 1).len(), 1);
        assert!(arrived < 500);
        assert_eq!(receiver.drops() as usize, 500 - arrived);
    }

    #[test]
    fn a_member_for_one_source_gets_nothing_of_another() {
        let to = SocketAddr::from(([232, 194, 200, 6], group(6).port()));
        let mut member = MulticastReceiver::join(&lo(), to, Some(Ipv4Addr::LOCALHOST.into()), 1 << 20).unwrap();
        let other = Ipv4Addr::new(127, 0, 0, 2);
        let mut source = sender(to);
        assert_eq!(source.local_address().ip(), Ipv4Addr::LOCALHOST);
        let elsewhere = Interface { v4: vec![other], ..lo() };
        let mut forger = MulticastSender::new(&elsewhere, to.ip(), &SenderOptions::default()).unwrap();
        forger.send_to(b"forged", to).unwrap();
        source.send_to(b"genuine", to).unwrap();
        assert_eq!(take(&mut member, 1), [b"genuine"]);
    }

    #[test]
    fn a_source_specific_group_is_not_joined_without_a_source() {
        let to = SocketAddr::from(([232, 1, 1, 1], 63_000));
        let error = MulticastReceiver::join(&lo(), to, None, 1 << 20).err().unwrap();
        assert_eq!(error.to_string(), "group 232.1.1.1 is source-specific: joining it needs the sender's address");
    }

    #[test]
    fn another_group_on_the_same_port_is_not_heard() {
        let to = group(7);
        let mut receiver = receiver(to);
        let mut sender = sender(to);
        sender.send_to(b"for others", SocketAddr::from(([239, 194, 200, 8], to.port()))).unwrap();
        sender.send_to(b"for us", to).unwrap();
        assert_eq!(take(&mut receiver, 1), [b"for us"]);
    }

    #[test]
    fn a_message_longer_than_the_buffer_is_left_out_and_counted() {
        let to = group(9);
        let mut receiver = receiver(to);
        let mut sender = sender(to);
        sender.send_to(&[1; 100], to).unwrap();
        sender.send_to(&[2; 10], to).unwrap();
        let mut buf = [0; 50];
        let mut lengths = Vec::new();
        while lengths.is_empty() && wait(&[receiver.handle()], Some(Duration::from_secs(5))).unwrap().contains(0) {
            lengths.extend(receiver.receive(&mut buf).unwrap().map(|received| received.len));
        }
        assert_eq!(lengths, [10]);
        assert_eq!(receiver.truncated(), 1);
    }

    #[test]
    fn ipv6_groups_work_where_loopback_has_a_route_for_them() {
        if lo().v6.is_empty() {
            return;
        }
        let to = lo().socket_address("ff15::8000:1".parse().unwrap(), group(10).port());
        let mut receiver = receiver(to);
        let mut sender = sender(to);
        let (image, headers) = (image(10 * SYMBOL), headers(10));
        match sender.send_batch(&gather(&headers, &image), HEADER + SYMBOL, 10, to) {
            Ok(()) => assert_eq!(take(&mut receiver, 10).len(), 10),
            // Most systems have no route for groups over loopback; `ip -6 route add ff00::/8 dev lo table local`
            // makes one.
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }

    #[test]
    fn a_port_that_a_control_socket_holds_on_all_addresses_is_refused() {
        let held = ControlSocket::bind((Ipv4Addr::UNSPECIFIED, 0).into(), 100_000).unwrap();
        let to = SocketAddr::from(([239, 194, 200, 11], held.local_address().port()));
        let error = MulticastReceiver::join(&lo(), to, None, 1 << 20).err().unwrap();
        assert!(matches!(error, NetError::PortInUse { .. }), "{error}");
    }
}
