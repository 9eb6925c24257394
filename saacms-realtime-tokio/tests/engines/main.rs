//! The history on disk: what was acknowledged is there, whatever happens to the process, the machine
//! or the file. Most of these tests know only the store; `started` has a hub and the thread between both.
//!
//! The tests of a power cut and of a full file system mount file systems, which needs root and loop
//! devices. Where there are none, they fail; `SAACMS_TEST_NO_MOUNT=1` leaves them out.

#[path = "../../../saacms-realtime-core/tests/support/chance.rs"]
mod chance;
mod damage;
mod deleted;
mod full;
mod inspect;
mod kept;
mod killed;
mod locked;
mod mounted;
mod moved;
mod power;
mod spans;
mod started;
mod victim;
mod world;
