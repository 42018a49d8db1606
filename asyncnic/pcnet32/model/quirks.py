"""Where chips differ from the data sheet, as switches of the model.

All off is silicon as the data sheet has it. `QEMU` is what QEMU's PCnet does (version 7.2, measured), so that the model
can be held against it frame by frame and register by register. The Q numbers are those of section 11 of the chip's fact
sheet. This is no list of what a driver must cope with on real boards: it holds only what the model can imitate.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quirks:
    """Deviations from the data sheet; each is False on silicon."""

    # Registers and modes.
    stop_leaves_txon: bool = False  # Q1: STOP reads 0x0014, and TDMD still transmits
    polls_on_access: bool = False  # Q5: every register access and received frame looks at the transmit ring
    positive_ring_lengths: bool = False  # Q13: CSR72 to CSR78 count up from 1; CSR24/25/30/31 are inert
    writable_while_running: bool = False  # Q14: no STOP/SPND rule but for CSR112; CSR80/100/114/122/124 are read-only
    illegal_style_reads_zero: bool = False  # Q15
    emulator_soft_reset: bool = (
        False  # section 2.2: reloads PADR from APROM, sets CSR72 to CSR78 to 1; Q16: leaves DWIO
    )
    aprom_needs_exact_width: bool = False  # Q17: octets only in WIO
    dwio_by_bcr18: bool = False  # section 2.1: BCR18 sets DWIO; the write that enters DWIO does not reach CSR0
    transient_user_interrupt: bool = False  # Q20: UINT raises the line until the next register access
    sticky_error_bit: bool = False  # ERR stays after a lost carrier until STOP
    absent_memory_reads_zero: bool = False  # Q18: no MERR; reads give zeros, writes are dropped

    # Receive.
    receives_before_start: bool = False  # Q3: from INIT on; RXON is not consulted
    skips_descriptors: bool = False  # Q6: jumps to the next owned one
    malformed_is_not_owned: bool = False  # Q7: ONES or RMD2[15:12] wrong
    three_descriptors: bool = False  # Q8: at most 3 a frame
    oflo_with_buff: bool = False  # Q9
    cuts_long_frames: bool = False  # section 7.4: 4092 octets are kept; MCNT overflows its field
    emulator_loopback: bool = False  # section 8.7: pads to 60, FCS in the wrong byte order, FCS check always fails

    # Transmit.
    tdmd_sticks: bool = False  # Q4: TDMD falls when a frame is sent, not when the ring was looked at
    transmits_while_suspended: bool = False  # TDMD is obeyed in SPND
    features_missing: bool = False  # Q11: MFCO, BABL, APAD_XMT, ASTRP_RCV
    txstrt_sets_mask: bool = False  # Q12: CSR4 bit 2 in place of bit 3
    drops_long_transmits: bool = False  # Q23: above 4092 octets
    tint_per_descriptor: bool = False  # section 8.3; Q24: LTINTEN only with TOKINTD; Q25: TOKINTD hides lost carrier
    returns_headless: bool = False  # section 8.1: a descriptor without STP is returned, not skipped
    underflow_in_first: bool = False  # section 8.1: the error is in the frame's first descriptor, not its last
    lcar_per_descriptor: bool = False  # section 8.6: a lost carrier ends the frame at the first descriptor


SILICON = Quirks()
QEMU = Quirks(**dict.fromkeys(Quirks.__dataclass_fields__, True))
