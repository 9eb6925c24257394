//! A blocking HTTP/1.1 client that hides nothing: it sends the bytes it is given and returns the
//! bytes it receives. Every wait has a timeout.

// Each test crate that includes this file uses only a part of it.
#![allow(dead_code)]

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

/// Far longer than anything here takes; only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A request, as the bytes to send.
#[derive(Clone)]
pub(crate) struct Request {
    method: String,
    line: String,
    host: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let line = format!("{method} {target} HTTP/1.1\r\n");
        let (head, body) = (Vec::new(), Vec::new());
        Self {
            method: method.into(),
            line,
            // A loopback name: a server on its own machine may answer no other.
            host: "localhost".into(),
            head,
            body,
        }
    }

    /// Sets the `Host` header.
    #[must_use]
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST with a body and its `Content-Length`.
    pub(crate) fn post(target: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut request =
            Self::new("POST", target).header("Content-Length", body.len().to_string());
        request.body = body.to_vec();
        request
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let begin = format!("{}Host: {}\r\n", self.line, self.host);
        [begin.as_bytes(), &self.head, b"\r\n", &self.body].concat()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:?}",
            self.line,
            String::from_utf8_lossy(&self.head)
        )
    }
}

/// The status line and headers of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) version: String,
    pub(crate) status: u16,
    /// In the order received, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let status_line = lines.next().expect("split gives one part at least");
        let mut parts = status_line.splitn(3, ' ');
        let version = parts.next().unwrap_or_default().to_owned();
        let status = parts.next().and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let headers = lines
            .map(|line| {
                line.split_once(':')
                    .unwrap_or_else(|| panic!("no header: {line:?}"))
            })
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();

        Self {
            version,
            status,
            headers,
        }
    }

    /// The value of a header, which must not be repeated.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let value = values.next()?.1.as_str();
        assert!(values.next().is_none(), "`{name}` comes once: {self:?}");
        Some(value)
    }

    /// All headers except `Date`, `Keep-Alive` and those that frame the message, sorted.
    pub(crate) fn meaning(&self) -> Vec<(&str, &str)> {
        let framing = ["content-length", "date", "keep-alive", "transfer-encoding"];
        let headers = self.headers.iter().map(|(name, value)| (&**name, &**value));
        let mut headers: Vec<_> = headers
            .filter(|(name, _)| !framing.contains(name))
            .collect();
        headers.sort_unstable();
        headers
    }
}

/// An answer with its whole body.
#[derive(Clone)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn text(&self) -> &str {
        core::str::from_utf8(&self.body).expect("an answer in UTF-8")
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} with {:?}",
            self.head,
            String::from_utf8_lossy(&self.body)
        )
    }
}

/// A connection and the bytes received on it.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    received: Vec<u8>,
    /// How many bytes of `received` have been returned.
    taken: usize,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        socket.set_write_timeout(Some(PATIENCE)).expect("not zero");
        socket.set_nodelay(true).expect("a connection");
        Self {
            socket,
            received: Vec::new(),
            taken: 0,
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes)
            .expect("the server takes what it is sent");
    }

    /// Sends bytes that the server may refuse to read.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Sets how long to wait for a server that does not read.
    pub(crate) fn set_write_timeout(&self, timeout: Duration) {
        self.socket
            .set_write_timeout(Some(timeout))
            .expect("not zero");
    }

    /// Closes the sending side.
    pub(crate) fn finish_sending(&self) {
        // The server may have closed the connection already.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Sends a request. Returns the head of its answer.
    pub(crate) fn exchange_head(&mut self, request: &Request) -> Head {
        self.send(request.bytes());
        self.head().expect("an answer")
    }

    pub(crate) fn exchange(&mut self, request: &Request) -> Response {
        self.send(request.bytes());
        self.response(&request.method)
    }

    /// Reads the next answer, to a request with this method.
    pub(crate) fn response(&mut self, method: &str) -> Response {
        self.try_response(method).expect("an answer")
    }

    /// Reads the next answer; `None` if the connection ends before its first byte.
    pub(crate) fn try_response(&mut self, method: &str) -> Option<Response> {
        let head = self.head()?;
        let body = match Framing::of(&head, method) {
            Framing::Length(len) => self.take_exactly(len),
            Framing::Chunked => {
                let mut body = Vec::new();
                while let Some(chunk) = self.chunk() {
                    body.extend_from_slice(&chunk);
                }
                body
            }
            Framing::UntilClose => self.rest(),
        };
        Some(Response { head, body })
    }

    /// Reads the next answer if its first byte comes within this time.
    pub(crate) fn response_within(&mut self, method: &str, time: Duration) -> Option<Response> {
        let set_timeout = |socket: &TcpStream, time| {
            socket.set_read_timeout(Some(time)).expect("not zero");
        };

        set_timeout(&self.socket, time);
        let came = self.socket.peek(&mut [0]);
        set_timeout(&self.socket, PATIENCE);
        came.is_ok().then(|| self.response(method))
    }

    /// Reads the next head; `None` if the connection ends before its first byte.
    pub(crate) fn head(&mut self) -> Option<Head> {
        let end = loop {
            let end = self
                .unread()
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n");
            match end {
                Some(end) => break end,
                None if self.receive() => {}
                None if self.unread().is_empty() => return None,
                None => panic!(
                    "a head breaks off: {:?}",
                    String::from_utf8_lossy(self.unread())
                ),
            }
        };
        let text = self.take_exactly(end + 4);
        let text = core::str::from_utf8(&text[..end]).expect("a head in UTF-8");
        Some(Head::parse(text))
    }

    /// Reads the data of the next chunk; `None` at the end of the body.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line_end = loop {
            match self.unread().iter().position(|byte| *byte == b'\n') {
                Some(end) => break end + 1,
                None => assert!(self.receive(), "a chunked body breaks off"),
            }
        };
        let line = self.take_exactly(line_end);
        let size = core::str::from_utf8(&line)
            .ok()
            .and_then(|line| usize::from_str_radix(line.strip_suffix("\r\n")?, 16).ok());
        let size = size.unwrap_or_else(|| panic!("no chunk: {:?}", String::from_utf8_lossy(&line)));
        let data = self.take_exactly(size);

        assert_eq!(self.take_exactly(2), b"\r\n", "the end of a chunk");
        (size > 0).then_some(data)
    }

    /// Reads exactly `len` bytes.
    pub(crate) fn take_exactly(&mut self, len: usize) -> Vec<u8> {
        while self.unread().len() < len {
            let unread = self.unread();
            let start = String::from_utf8_lossy(&unread[..unread.len().min(200)]).into_owned();
            assert!(
                self.receive(),
                "{len} bytes, but the connection ends with {start:?}"
            );
        }
        let bytes = self.unread()[..len].to_vec();
        self.taken += len;
        bytes
    }

    /// Reads up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.receive() {}
        let len = self.unread().len();
        self.take_exactly(len)
    }

    /// Whether the connection ends without another byte. A reset counts as an end.
    pub(crate) fn ends(&mut self) -> bool {
        self.unread().is_empty() && !self.receive()
    }

    fn unread(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    /// Waits for more bytes. Returns false at the end of the connection.
    fn receive(&mut self) -> bool {
        // Only when most bytes have been returned, so that moving the rest is cheap.
        if self.taken > self.received.len() / 2 {
            self.received.drain(..self.taken);
            self.taken = 0;
        }

        let mut piece = [0; 64 << 10];
        loop {
            match self.socket.read(&mut piece) {
                Ok(len) => {
                    self.received.extend_from_slice(&piece[..len]);
                    return len > 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("nothing came within {PATIENCE:?}: {error}"),
            }
        }
    }
}

/// How the end of a body is marked (RFC 9112, 6.3).
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    fn of(head: &Head, method: &str) -> Self {
        let length = || {
            head.header("content-length")
                .map(|len| len.parse().expect("a length"))
        };

        // In the order of the RFC: status and method decide before the headers do.
        match head.status {
            100..200 | 204 | 304 => Self::Length(0),
            _ if method == "HEAD" => Self::Length(0),
            _ if head.header("transfer-encoding") == Some("chunked") => Self::Chunked,
            _ => length().map_or(Self::UntilClose, Self::Length),
        }
    }
}
