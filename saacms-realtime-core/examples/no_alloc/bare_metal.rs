//! Starts the cycle after a reset, and reports the outcome to the emulator or the debugger.

use core::fmt::Write as _;
use core::panic::PanicInfo;

use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, ExitStatus, exit};
use cortex_m_semihosting::hio::hstdout;

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut host = hstdout().expect("a host that listens");
    super::cycle(|step, sent| write!(host, "--- {step}\n{sent}").expect("a host that listens"))
        .expect("room for every frame");
    end(EXIT_SUCCESS)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = hstdout().map(|mut host| writeln!(host, "{info}"));
    end(EXIT_FAILURE)
}

fn end(status: ExitStatus) -> ! {
    loop {
        exit(status);
    }
}
