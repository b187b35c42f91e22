//! Connecting to one address.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Mutex;

use async_rs::Runtime;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{
    AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism,
};
use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::address::Address;
use super::kit::{Duplex, Kit, Socket};
use super::options::Options;
use super::{reason, tls};

/// A connection that a broker has accepted.
pub(super) struct Dialled {
    pub(super) connection: Connection,
    pub(super) plug: Plug,
}

/// The socket of a connection: when it is dropped, the connection ends, whatever the client library waits for.
pub(super) struct Plug(std::net::TcpStream);

impl Drop for Plug {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Connects to an address, up to where the broker accepts the connection.
///
/// # Errors
/// It did not, in words without secrets.
pub(super) async fn dial(address: &Address, options: &Options) -> Result<Dialled, String> {
    let within = address.parameters.connection_timeout.unwrap_or(options.connect);
    match timeout(within, attempt(address, options)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {within:?}")),
    }
}

async fn attempt(address: &Address, options: &Options) -> Result<Dialled, String> {
    let stream = reach(address).await?;
    let _ = stream.set_nodelay(true);
    let plug = stream.as_fd().try_clone_to_owned().map_err(|error| reason::of_socket(&error))?;
    let plug = Plug(plug.into());
    let duplex: Pin<Box<dyn Duplex>> = if address.tls {
        let (connector, name) = tls::connector(address)?;
        let stream = connector.connect(name, stream).await;
        Box::pin(stream.map_err(|error| reason::of_tls(address, &error))?)
    } else {
        Box::pin(stream)
    };
    let connection = shake(address, options, duplex.compat()).await?;
    Ok(Dialled { connection, plug })
}

/// A connection to the host.
async fn reach(address: &Address) -> Result<TcpStream, String> {
    if let Ok(host) = address.host.parse::<IpAddr>() {
        let place = SocketAddr::new(host, address.port);
        return TcpStream::connect(place).await.map_err(|error| reason::of_socket(&error));
    }
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    let places = found.map_err(|error| reason::of_name(&address.host, &error))?;
    let mut last = format!("unknown host {}", address.host);
    for place in places {
        match TcpStream::connect(place).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = reason::of_socket(&error),
        }
    }
    Err(last)
}

/// Introduces us, over a socket that is connected.
async fn shake(address: &Address, options: &Options, socket: Socket) -> Result<Connection, String> {
    let heartbeat = address.parameters.heartbeat.unwrap_or(options.heartbeat).as_secs();
    let uri = AMQPUri {
        // Whatever makes the socket secret is beneath it.
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: address.user.clone(),
                password: address.password.clone(),
            },
            host: address.host.clone(),
            port: address.port,
        },
        vhost: address.vhost.clone(),
        query: AMQPQueryString {
            frame_max: Some(options.frame),
            channel_max: None,
            heartbeat: Some(u16::try_from(heartbeat).unwrap_or(u16::MAX)),
            connection_timeout: None,
            auth_mechanism: address.parameters.external.then_some(SASLMechanism::External),
        },
    };
    let properties = ConnectionProperties::default()
        .with_connection_name(options.name.as_str().into())
        .with_client_property("product".into(), env!("CARGO_PKG_NAME").into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let socket = Mutex::new(Some(socket));
    let connect = async move |_: AMQPUri, _: Runtime<Kit>| {
        let socket = socket.lock().ok().and_then(|mut socket| socket.take());
        let gone = || lapin::Error::from(io::Error::from(io::ErrorKind::NotConnected));
        socket.map(AsyncTcpStream::Plain).ok_or_else(gone)
    };
    let connected = Connection::connector(uri, Runtime::new(Kit::current()), connect, properties);
    connected.await.map_err(|error| reason::of_handshake(address, &error))
}
