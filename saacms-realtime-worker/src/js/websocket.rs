//! What the Durable Object does with WebSockets.

use saacms_realtime_core::Now;
use saacms_realtime_core::route::{Reply, StreamRefusal};
use wasm_bindgen::prelude::*;
use web_sys::Response;

use super::inner::{Inner, JsObject, refuse_stream};
use super::platform;
use super::sockets::{KeptSocket, WebSocket, answer_close, answer_ping};
use crate::object::{ClientMessage, Closing};

impl Inner {
    /// Opens a WebSocket.
    pub(super) fn open_socket(
        &self,
        last_event_id: Option<&[u8]>,
        head: &Reply,
        refuse: StreamRefusal,
    ) -> Result<Response, JsValue> {
        let Some(sockets) = &self.sockets else {
            return Err(js_sys::Error::new("the platform keeps no WebSockets").into());
        };
        let mut object = self.lock_for(last_event_id)?;
        let number = match object.reserve_socket() {
            Ok(number) => number,
            Err(refusal) => return refuse_stream(refuse, refusal),
        };

        let (client, sink) = match sockets.open(number) {
            Ok(opened) => opened,
            Err(error) => {
                object.free_socket(number);
                web_sys::console::error_1(&error);
                return refuse_stream(refuse, JsObject::no_more_sockets());
            }
        };
        let now = object.now;
        object.open_socket(number, sink, last_event_id, now);
        // Sends the first messages, which the client gets after the response.
        drop(object);

        platform::websocket_response(head, &client)
    }

    /// The WebSockets that an earlier life has left.
    pub(super) fn kept_sockets(&self) -> Vec<KeptSocket> {
        let sockets = self.sockets.as_ref();
        sockets.map(|sockets| sockets.kept()).unwrap_or_default()
    }

    /// Subscribes them again.
    pub(super) fn restore_sockets(&self, object: &mut JsObject, kept: Vec<KeptSocket>, now: Now) {
        let Some(sockets) = &self.sockets else {
            return;
        };
        for KeptSocket { socket, note } in kept {
            match note {
                Some(note) => {
                    object.restore_socket(|number| sockets.join(number, socket), note, now);
                }
                None => sockets.close(&socket, Closing::Restarted),
            }
        }
    }

    /// Handles a message of a WebSocket's client.
    pub(super) fn handle_message(
        &self,
        socket: &WebSocket,
        message: &JsValue,
    ) -> Result<(), JsValue> {
        let Some(sockets) = &self.sockets else {
            return Ok(());
        };
        if !sockets.is_ours(socket) {
            return Ok(());
        }
        let message = ClientMessage::parse(message.as_string().as_deref());
        let is_asleep = self.object.borrow().is_none();
        if is_asleep && sockets.handle_asleep(socket, message, self.now().instant) {
            return Ok(());
        }

        let mut object = self.lock_newest()?;
        // One that was closed meanwhile has none.
        let Some(number) = sockets.number_of(socket) else {
            return Ok(());
        };
        let now = object.now;
        match message {
            Ok(ClientMessage::Read(read)) => object.handle_read(number, read, now),
            Ok(ClientMessage::Ping) => answer_ping(socket),
            Err(violation) => object.refuse_socket(number, violation),
        }
        Ok(())
    }

    /// Handles that a WebSocket has ended.
    pub(super) fn handle_close(&self, socket: &WebSocket) {
        if !self.sockets.as_ref().is_some_and(|it| it.is_ours(socket)) {
            return;
        }
        let number = self.sockets.as_ref().and_then(|it| it.number_of(socket));
        // An object that sleeps knows none.
        if let Some(number) = number
            && let Some(mut object) = self.lock_or_report()
        {
            object.remove_socket(number);
        }
        answer_close(socket);
    }

    /// Ends every stream and WebSocket gracefully.
    pub(super) fn drain(&self) -> Result<(), JsValue> {
        let mut object = self.lock_newest()?;
        let now = object.now;
        object.end_all(self.drain_millis(), now);
        Ok(())
    }
}
