//! The side of the clients: the port on the virtual addresses, and the connections.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use examples::settings::Address;
use socket2::{Domain, SockFilter, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::settings::Settings;
use crate::upstreams::Upstreams;

/// Connections that the kernel takes before they are accepted here: above all those of the first moments of a reign.
const BACKLOG: i32 = 4096;
/// How long to wait if a connection cannot be accepted, mostly because there is no descriptor left.
const PAUSE: Duration = Duration::from_millis(50);
/// By then, connections whose opening was under way are open. It is some round trips to the clients.
const HANDSHAKE: Duration = Duration::from_millis(200);
/// After how long a client that says nothing is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

pub(super) struct Front {
    listeners: Vec<TcpListener>,
    upstreams: Arc<Upstreams>,
    /// How many connections there are.
    open: watch::Sender<usize>,
    most: usize,
    drain: Duration,
}

impl Front {
    /// Opens the port on each of the virtual addresses, whether this host has them or not.
    pub(super) fn open(settings: &Settings, upstreams: Arc<Upstreams>) -> anyhow::Result<Self> {
        let addresses = settings.router.addresses.iter().map(|Address(address)| address.address().address());
        // One of IPv6 that is for the link alone is there for VRRP's sake.
        let addresses = addresses.filter(|address| !matches!(address, IpAddr::V6(it) if it.is_unicast_link_local()));
        let open = |address: IpAddr| {
            let address = SocketAddr::new(address, settings.port);
            listen(address).with_context(|| format!("cannot open {address}"))
        };
        Ok(Self {
            listeners: addresses.map(open).collect::<Result<_, _>>()?,
            upstreams,
            open: watch::Sender::new(0),
            most: settings.connections,
            drain: settings.drain(),
        })
    }

    /// Accepts connections from now on, whenever `serving` says so.
    pub(super) fn accept(self: &Arc<Self>, serving: &watch::Receiver<bool>) {
        for index in 0..self.listeners.len() {
            tokio::spawn(Arc::clone(self).accept_at(index, serving.clone()));
        }
    }

    pub(super) fn open_connections(&self) -> usize {
        *self.open.borrow()
    }

    /// From now on, requests for a connection are dropped without a word. The clients' kernels repeat them, after 1 s at
    /// first, and then they reach the next host. If the port were closed instead, they would be refused; if they were
    /// taken, they would be cut when the address moves.
    pub(super) fn leave_new_ones_to_the_next(&self) -> anyhow::Result<()> {
        // Classic BPF over the TCP header (linux/filter.h). The flags are octet 13; of SYN (2) and ACK (16), only SYN.
        let drop_requests = [
            SockFilter::new(0x30, 0, 0, 13),       // load octet
            SockFilter::new(0x54, 0, 0, 0x12),     // and
            SockFilter::new(0x15, 0, 1, 0x02),     // if equal
            SockFilter::new(0x06, 0, 0, 0),        // drop
            SockFilter::new(0x06, 0, 0, u32::MAX), // take all of it
        ];
        for listener in &self.listeners {
            SockRef::from(listener).attach_filter(&drop_requests).context("cannot leave new connections alone")?;
        }
        Ok(())
    }

    /// Waits until there are no connections, at most for as long as they may go on.
    pub(super) async fn drained(&self) {
        let ended = async {
            sleep(HANDSHAKE).await;
            let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
        };
        let _ = timeout(self.drain, ended).await;
    }

    async fn accept_at(self: Arc<Self>, index: usize, mut serving: watch::Receiver<bool>) {
        let Some(listener) = self.listeners.get(index) else { return };
        let mut open = self.open.subscribe();
        while serving.wait_for(|serving| *serving).await.is_ok() {
            // More than these wait in the kernel.
            let _ = open.wait_for(|open| *open < self.most).await;
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = serving.wait_for(|serving| !*serving) => continue,
            };
            match accepted {
                Ok((client, peer)) => {
                    self.open.send_modify(|open| *open += 1);
                    let connection = Connection { front: Arc::clone(&self), serving: serving.clone(), peer };
                    tokio::spawn(connection.pass_on(client));
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// The port on an address that this host need not have (`IP_FREEBIND`): it is ready when the address comes.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    // Old connections to it may not be over yet.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// One connection. Dropping it counts it out, however it ended.
struct Connection {
    front: Arc<Front>,
    serving: watch::Receiver<bool>,
    peer: SocketAddr,
}

impl Connection {
    async fn pass_on(mut self, client: TcpStream) {
        let (upstreams, drain, peer) = (Arc::clone(&self.front.upstreams), self.front.drain, self.peer);
        tokio::select! {
            result = pass_on(client, &upstreams) => match result {
                Ok((up, down)) => tracing::debug!("{peer}: {up} octets up, {down} down"),
                Err(error) => tracing::debug!("{peer}: {error}"),
            },
            () = demoted_for(&mut self.serving, drain) => tracing::debug!("{peer}: cut, the address is elsewhere"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.front.open.send_modify(|open| *open -= 1);
    }
}

/// Both directions until both have ended: then the client has all that was for it, and has said so by its own end.
async fn pass_on(mut client: TcpStream, upstreams: &Upstreams) -> std::io::Result<(u64, u64)> {
    let mut upstream = upstreams.connect().await?;
    client.set_nodelay(true)?;
    // One that is gone without a word does not stay for ever.
    SockRef::from(&client).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
    upstream.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut upstream).await
}

/// Returns when this host has not been Active for so long. The client cannot be reached meanwhile, but what it has sent
/// can be passed on, and if the address comes back in time the connection goes on.
async fn demoted_for(serving: &mut watch::Receiver<bool>, drain: Duration) {
    while serving.wait_for(|serving| !*serving).await.is_ok() {
        if timeout(drain, serving.wait_for(|serving| *serving)).await.is_err() {
            return;
        }
    }
}
