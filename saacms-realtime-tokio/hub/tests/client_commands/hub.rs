//! A scripted hub: one request per connection, answered by a closure.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// Far longer than anything here takes; only a failing test waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A request as received.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `POST /path HTTP/1.1`
    pub(crate) line: String,
    headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header. `name` must be in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = Vec::new();
            reader
                .read_until(b'\n', &mut line)
                .ok()
                .filter(|len| *len > 0)?;
            Some(line.trim_ascii_end().to_vec())
        };
        let request_line = String::from_utf8(line()?).expect("ASCII");
        let mut headers = Vec::new();

        loop {
            let line = line()?;
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                break;
            };
            let name = String::from_utf8_lossy(&line[..colon]).to_lowercase();
            headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }

        let mut request = Self {
            line: request_line,
            headers,
            body: Vec::new(),
        };
        let len = request
            .header("content-length")
            .map_or(0, |len| len.parse().expect("a number"));

        if request.header("expect").is_some() {
            let mut stream = stream;
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }

        request.body.resize(len, 0);
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }
}

/// A connection whose request has been read.
pub(crate) struct Connection {
    /// The number of the request, from 0.
    pub(crate) number: usize,
    pub(crate) request: Request,
    stream: TcpStream,
}

impl Connection {
    /// Writes as much as the client accepts.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Writes repeatedly until the client ends the connection.
    pub(crate) fn write_for_ever(mut self, bytes: impl AsRef<[u8]>) {
        while self.stream.write_all(bytes.as_ref()).is_ok() {}
    }

    /// Answers and ends the connection.
    pub(crate) fn answer(mut self, status: u16, headers: &str, body: impl AsRef<[u8]>) {
        let len = body.as_ref().len();
        let len = if status == 204 {
            String::new()
        } else {
            format!("Content-Length: {len}\r\n")
        };
        self.write(format!(
            "HTTP/1.1 {status} \r\nConnection: close\r\n{len}{headers}\r\n"
        ));
        self.write(body);
    }

    /// Answers with a problem document.
    pub(crate) fn refuse(self, status: u16, headers: &str, detail: &str) {
        let body = serde_json::json!({
            "type": "about:blank", "title": "Refused", "status": status, "detail": detail,
        });
        let headers = format!("Content-Type: application/problem+json\r\n{headers}");
        self.answer(status, &headers, body.to_string());
    }

    /// Sends the head of an event stream that lasts as long as the connection, and the greeting.
    pub(crate) fn begin_stream(&mut self) {
        self.write(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
        );
        self.write(":keepalive\n\n");
    }

    /// Waits until the client ends the connection.
    pub(crate) fn hold(mut self) {
        let _ = self.stream.read(&mut [0]);
    }
}

/// A hub that runs until the end of the test process.
pub(crate) struct Hub {
    address: SocketAddr,
    requests: Receiver<Request>,
}

impl Hub {
    pub(crate) fn start(answer: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (sender, requests) = mpsc::channel();
        let answer = Arc::new(answer);
        let count = Arc::new(AtomicUsize::new(0));

        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (sender, answer, count) = (sender.clone(), answer.clone(), count.clone());
                thread::spawn(move || {
                    let Some(request) = Request::read(&stream) else {
                        return;
                    };
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    let _ = sender.send(request.clone());
                    answer(Connection {
                        number,
                        request,
                        stream,
                    });
                });
            }
        });
        Self { address, requests }
    }

    /// The base URL, with a slash at the end that must not matter.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/base/", self.address)
    }

    /// Waits for the next request.
    pub(crate) fn request(&self) -> Request {
        self.requests.recv_timeout(DEADLINE).expect("a request")
    }

    /// The requests received but not yet returned.
    pub(crate) fn rest(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }
}

/// A frame, as a hub writes it.
pub(crate) fn frame(event_type: &str, id: &str, data: &str) -> String {
    format!("event: {event_type}\nid: {id}\ndata: {data}\n\n")
}
