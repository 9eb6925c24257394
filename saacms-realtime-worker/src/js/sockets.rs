//! WebSockets of the platform, which keeps them, and a note with each, while the object sleeps.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use js_sys::{Array, Map, Object, Reflect};
use saacms_realtime_core::sse::KEEPALIVE;
use saacms_realtime_core::{Instant, Position};
use wasm_bindgen::prelude::*;

use super::batch::{numbers, send_all};
use super::platform::member;
use crate::object::{ClientMessage, Closing, Note, SocketSink, Violation};

#[wasm_bindgen]
extern "C" {
    /// The state of an object.
    #[wasm_bindgen(extends = Object)]
    #[derive(Debug)]
    type State;

    #[wasm_bindgen(method, js_name = acceptWebSocket, catch)]
    fn accept_web_socket(this: &State, socket: &WebSocket, tags: &Array) -> Result<(), JsValue>;

    #[wasm_bindgen(method, js_name = getWebSockets)]
    fn get_web_sockets(this: &State, tag: &str) -> Array;

    #[wasm_bindgen(method, js_name = setWebSocketAutoResponse, catch)]
    fn set_web_socket_auto_response(
        this: &State,
        pair: &WebSocketRequestResponsePair,
    ) -> Result<(), JsValue>;

    #[wasm_bindgen(method, js_name = getWebSocketAutoResponseTimestamp, catch)]
    fn auto_response_at(this: &State, socket: &WebSocket) -> Result<JsValue, JsValue>;

    /// The object's end of a WebSocket.
    #[wasm_bindgen(extends = Object)]
    #[derive(Clone, Debug)]
    pub(crate) type WebSocket;

    #[wasm_bindgen(method, catch)]
    fn send(this: &WebSocket, text: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn close(this: &WebSocket, code: u16, reason: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(method, getter, js_name = readyState)]
    fn ready_state(this: &WebSocket) -> u16;

    #[wasm_bindgen(method, js_name = serializeAttachment, catch)]
    fn serialize_attachment(this: &WebSocket, value: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(method, js_name = deserializeAttachment, catch)]
    fn deserialize_attachment(this: &WebSocket) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(extends = Object)]
    type WebSocketPair;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<WebSocketPair, JsValue>;

    #[wasm_bindgen(extends = Object)]
    type WebSocketRequestResponsePair;

    #[wasm_bindgen(constructor, catch)]
    fn new(request: &str, response: &str) -> Result<WebSocketRequestResponsePair, JsValue>;
}

/// The state of a WebSocket that is open.
const OPEN: u16 = 1;

/// The platform's mark of our WebSockets: a subclass may have others.
const TAG: &str = "saacms-realtime";

/// The WebSockets of one object.
#[derive(Debug)]
pub(crate) struct Sockets {
    state: State,
    /// By number, for [`send_all`].
    open: Map,
    /// The numbers of those in `open`.
    numbers: Map,
    outbox: RefCell<Outbox>,
    /// WebSockets that a send found to have ended.
    ended: RefCell<Vec<u32>>,
    /// What was logged; once is enough.
    reported: RefCell<Vec<Closing>>,
}

/// A WebSocket that an earlier life of the object has left.
#[derive(Debug)]
pub(crate) struct KeptSocket {
    pub(crate) socket: WebSocket,
    /// `None` if it is not one that this version would have kept.
    pub(crate) note: Option<Note>,
}

impl KeptSocket {
    /// Whether its client was not sent everything up to `newest`.
    pub(crate) fn is_behind(&self, newest: Position) -> bool {
        self.note.is_some_and(|note| note.place != newest)
    }
}

/// A message to WebSockets that are at the same place.
#[derive(Debug, Default)]
struct Outbox {
    bytes: Bytes,
    /// The place after it; `None` if the outbox is empty.
    place: Option<Position>,
    /// The WebSockets that it goes to, in order.
    numbers: Vec<u32>,
    /// Four numbers for each of them.
    notes: Vec<f64>,
}

impl Sockets {
    /// The WebSockets of the object whose state is `ctx`; `None` if its platform does not keep any.
    pub(crate) fn of(ctx: &JsValue) -> Option<Rc<Self>> {
        member(ctx, "acceptWebSocket").is_function().then(|| {
            Rc::new(Self {
                state: ctx.clone().unchecked_into(),
                open: Map::new(),
                numbers: Map::new(),
                outbox: RefCell::default(),
                ended: RefCell::default(),
                reported: RefCell::default(),
            })
        })
    }

    /// Opens a WebSocket. Returns the client's end and its sink.
    ///
    /// # Errors
    ///
    /// The platform keeps no more.
    pub(crate) fn open(self: &Rc<Self>, number: u32) -> Result<(JsValue, JsSocket), JsValue> {
        let pair = WebSocketPair::new()?;
        let [client, own] = [0, 1].map(|end| Reflect::get_u32(&pair, end));
        let own: WebSocket = own?.unchecked_into();
        let tags = [JsValue::from(TAG)].iter().collect();
        self.state.accept_web_socket(&own, &tags)?;
        // For all of the object's WebSockets, also while it sleeps.
        let pings = WebSocketRequestResponsePair::new("ping", KEEPALIVE)?;
        self.state.set_web_socket_auto_response(&pings)?;
        Ok((client?, self.join(number, own)))
    }

    /// The sink of a WebSocket that the platform keeps.
    pub(crate) fn join(self: &Rc<Self>, number: u32, socket: WebSocket) -> JsSocket {
        self.open.set(&number.into(), &socket);
        self.numbers.set(&socket, &number.into());
        JsSocket {
            number,
            socket,
            sockets: Rc::clone(self),
        }
    }

    /// The number of a WebSocket; `None` if it has ended.
    pub(crate) fn number_of(&self, socket: &WebSocket) -> Option<u32> {
        let number = self.numbers.get(socket).as_f64()?;
        Some(number as u32)
    }

    /// The WebSockets that the platform keeps.
    pub(crate) fn kept(&self) -> Vec<KeptSocket> {
        self.all_open()
            .map(|socket| KeptSocket {
                note: note_of(&socket),
                socket,
            })
            .collect()
    }

    /// Whether a WebSocket is one of ours, as far as its note tells.
    pub(crate) fn is_ours(&self, socket: &WebSocket) -> bool {
        self.number_of(socket).is_some() || note_of(socket).is_some()
    }

    /// The number of WebSockets that the platform keeps.
    pub(crate) fn count(&self) -> usize {
        self.all_open().count()
    }

    fn all_open(&self) -> impl Iterator<Item = WebSocket> {
        self.state
            .get_web_sockets(TAG)
            .into_iter()
            .map(JsCast::unchecked_into)
            .filter(|socket: &WebSocket| socket.ready_state() == OPEN)
    }

    /// Handles a message to an object that sleeps, without waking it: by the note of the WebSocket alone.
    /// Returns false if the object has to handle it.
    pub(crate) fn handle_asleep(
        &self,
        socket: &WebSocket,
        message: Result<ClientMessage, Violation>,
        now: Instant,
    ) -> bool {
        let handled = match message {
            Ok(ClientMessage::Read(read)) => {
                let Some(mut note) = note_of(socket).filter(|note| note.waits_since.is_none())
                else {
                    return false;
                };
                note.handle_read(read, now).map(|()| keep(socket, &note))
            }
            Ok(ClientMessage::Ping) => {
                answer_ping(socket);
                Ok(())
            }
            Err(violation) => Err(violation),
        };
        if let Err(violation) = handled {
            self.close(socket, Closing::Violation(violation));
        }
        true
    }

    /// Closes a WebSocket after what was sent.
    pub(crate) fn close(&self, socket: &WebSocket, closing: Closing) {
        self.flush();
        let (code, reason) = (closing.code(), closing.reason());
        // Throws only if it has ended already.
        let _ = socket.close(code, reason);
        if closing != Closing::Drained && !self.reported.borrow().contains(&closing) {
            self.reported.borrow_mut().push(closing);
            let text = format!(
                "saacms-realtime: a WebSocket was closed with {code}: {reason} (logged once, until this \
                 object starts again)"
            );
            web_sys::console::warn_1(&text.into());
        }
    }

    /// Posts a message; [`flush`](Self::flush) sends it.
    fn post(&self, number: u32, bytes: &Bytes, note: &Note) {
        // Bytes are compared by address: the WebSockets of a record are given clones of one `Bytes`.
        let is_other = {
            let outbox = self.outbox.borrow();
            outbox.place != Some(note.place)
                || (outbox.bytes.as_ptr(), outbox.bytes.len()) != (bytes.as_ptr(), bytes.len())
        };
        if is_other {
            self.flush();
        }

        let mut outbox = self.outbox.borrow_mut();
        if is_other {
            outbox.bytes = bytes.clone();
            outbox.place = Some(note.place);
        }
        outbox.numbers.push(number);
        outbox.notes.extend(note.numbers());
    }

    fn flush(&self) {
        let outbox = mem::take(&mut *self.outbox.borrow_mut());
        let Some(place) = outbox.place else {
            return;
        };
        // Frames are UTF-8.
        let text = String::from_utf8_lossy(&outbox.bytes);
        let place = place.to_string();
        let ended = send_all(&self.open, &outbox.numbers, &text, &place, &outbox.notes);
        self.ended.borrow_mut().extend(numbers(&ended));
    }

    /// Sends what was posted, and returns the WebSockets that sends since the last call found to have
    /// ended.
    pub(crate) fn flush_and_take_ended(&self) -> Vec<u32> {
        self.flush();
        self.ended.take()
    }
}

/// The sink of one WebSocket. Dropping it forgets the WebSocket, which the platform keeps.
#[derive(Debug)]
pub(crate) struct JsSocket {
    number: u32,
    socket: WebSocket,
    sockets: Rc<Sockets>,
}

impl SocketSink for JsSocket {
    fn send(&self, bytes: &Bytes, note: &Note) {
        self.sockets.post(self.number, bytes, note);
    }

    fn keep(&self, note: &Note) {
        keep(&self.socket, note);
    }

    fn answered_ago(&self) -> Option<Duration> {
        let at = self.sockets.state.auto_response_at(&self.socket).ok()?;
        let at_millis = at.dyn_ref::<js_sys::Date>()?.get_time();
        let ago_millis = (js_sys::Date::now() - at_millis).max(0.0);
        Some(Duration::from_millis(ago_millis as u64))
    }

    fn close(&self, closing: Closing) {
        self.sockets.close(&self.socket, closing);
    }
}

impl Drop for JsSocket {
    fn drop(&mut self) {
        self.sockets.open.delete(&self.number.into());
        self.sockets.numbers.delete(&self.socket);
    }
}

/// Ends the object's side of a WebSocket whose client has ended its own.
pub(crate) fn answer_close(socket: &WebSocket) {
    const NORMAL: u16 = 1_000;
    // Throws where the platform has done it already.
    let _ = socket.close(NORMAL, "");
}

/// Answers a ping that the platform has passed on.
pub(crate) fn answer_ping(socket: &WebSocket) {
    // Throws only if it has ended.
    let _ = socket.send(KEEPALIVE);
}

fn keep(socket: &WebSocket, note: &Note) {
    let kept: Array = [JsValue::from(note.place.to_string())]
        .into_iter()
        .chain(note.numbers().map(JsValue::from))
        .collect();
    // Throws only if it has ended.
    let _ = socket.serialize_attachment(&kept);
}

fn note_of(socket: &WebSocket) -> Option<Note> {
    let kept: Array = socket.deserialize_attachment().ok()?.dyn_into().ok()?;
    let place = kept.get(0).as_string()?;
    let mut numbers = [0.0; 4];
    for (at, number) in (1..).zip(&mut numbers) {
        *number = kept.get(at).as_f64()?;
    }
    Note::parse(&place, numbers)
}
