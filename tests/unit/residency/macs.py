"""What the tools of a Mac say, in the form they say it: a Mac Mini M4 Pro with 64 GB, and what differs on others.

No Mac was at hand: forms and names of fields are those of macOS 15, figures are plausible, and each sum is written down
where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from controller.plain import GIB
from controller.residency.gauge_mac import Vm
from controller.residency.resident import Taken

_HEAD = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<array>
"""
_DEVICE = """	<dict>
		<key>CFBundleIdentifier</key>
		<string>com.apple.AGXG16X</string>
		<key>IOClass</key>
		<string>AGXAcceleratorG16X</string>
		<key>IOObjectClass</key>
		<string>AGXAcceleratorG16X</string>
		<key>IORegistryEntryChildren</key>
		<array>
%s		</array>
		<key>IORegistryEntryName</key>
		<string>AGXAcceleratorG16X</string>
		<key>PerformanceStatistics</key>
		<dict>
			<key>Alloc system memory</key>
			<integer>%d</integer>
			<key>Allocated PB Size</key>
			<integer>83886080</integer>
			<key>Device Utilization %%</key>
			<integer>%d</integer>
			<key>In use system memory</key>
			<integer>%d</integer>
			<key>In use system memory (driver)</key>
			<integer>0</integer>
			<key>Renderer Utilization %%</key>
			<integer>%d</integer>
			<key>SplitSceneCount</key>
			<integer>0</integer>
			<key>TiledSceneBytes</key>
			<integer>2129920</integer>
			<key>Tiler Utilization %%</key>
			<integer>%d</integer>
			<key>lastRecoveryTime</key>
			<integer>0</integer>
			<key>recoveryCount</key>
			<integer>0</integer>
		</dict>
		<key>gpu-core-count</key>
		<integer>20</integer>
		<key>model</key>
		<string>Apple M4 Pro</string>
	</dict>
"""
_CLIENT = """			<dict>
				<key>AppUsage</key>
				<array>
%s				</array>
				<key>CommandQueueCount</key>
				<integer>%d</integer>
				<key>IOObjectClass</key>
				<string>AGXDeviceUserClient</string>
				<key>IORegistryEntryName</key>
				<string>AGXDeviceUserClient</string>
				<key>IOUserClientCreator</key>
				<string>pid %d, %s</string>
			</dict>
"""
_USAGE = """					<dict>
						<key>API</key>
						<string>Metal</string>
						<key>accumulatedGPUTime</key>
						<integer>%d</integer>
						<key>lastSubmittedTime</key>
						<integer>482913774512</integer>
					</dict>
"""
WINDOW_SERVER = 402


def ioreg(used: int, share: int = 0, worked: Mapping[int, float] | None = None) -> bytes:
    """`ioreg -r -c IOAccelerator -d 2 -w 0 -a`: `used` bytes in use, `share` percent busy; seconds by process."""
    clients = _CLIENT % ("", 0, 377, "corebrightnessd")  # most processes have never used it
    clients += _CLIENT % (_USAGE % 91_500_000_000 + _USAGE % 500_000_000, 3, WINDOW_SERVER, "WindowServer")
    for pid, seconds in (worked or {}).items():
        clients += _CLIENT % (_USAGE % round(seconds * 1e9), 1, pid, "llama-server")
    device = _DEVICE % (clients, used + 2**30, share, used, share, min(share, 1))
    return _HEAD + device.encode() + b"</array>\n</plist>\n"


@dataclass(frozen=True)
class Mac:
    """One Mac at one moment: what its tools say, and the runners on it."""

    vm_stat: str
    in_use: int  # ioreg's "In use system memory"
    footprints: Mapping[int, int]  # phys_footprint, as `top -stats pid,mem` and proc_pid_rusage tell it
    ours: Mapping[int, Taken]
    memsize: int = 64 * GIB  # sysctl hw.memsize
    pressure: int = 1  # sysctl kern.memorystatus_vm_pressure_level

    @property
    def vm(self) -> Vm:
        """The same as host_statistics64(3) tells, of which `vm_stat` prints "free" less "speculative"."""
        size = int(re.findall(r"page size of (\d+) bytes", self.vm_stat)[0])
        counts = {name: int(count) for name, count in re.findall(r"^(.+?): +(\d+)\.$", self.vm_stat, re.MULTILINE)}
        return Vm(
            active=counts["Pages active"] * size,
            inactive=counts["Pages inactive"] * size,
            speculative=counts["Pages speculative"] * size,
            wired=counts["Pages wired down"] * size,
            compressor=counts["Pages occupied by compressor"] * size,
            purgeable=counts["Pages purgeable"] * size,
            external=counts["File-backed pages"] * size,
        )


LARGE, MIDDLE = 9101, 9102  # processes

# qwen3:32b and qwen3:14b with 16384 tokens at q8_0, on llama-server: 18.81 + 2.12 + 0.65 and 8.64 + 1.33 + 0.65 GiB.
# Their files (20,201,253,588 and 9,276,198,565 bytes) are mapped; each process itself holds its context, its work
# space, some 0.1 GiB of its own, and the conversations that it keeps (2.4 and 1.1 GiB so far).
OURS = {
    LARGE: Taken(loaded=round(21.58 * GIB), mapped=20_201_253_588, most=round(21.58 * GIB)),
    MIDDLE: Taken(loaded=round(10.62 * GIB), mapped=9_276_198_565, most=round(10.62 * GIB)),
}
FOOTPRINTS = {LARGE: round(5.27 * GIB), MIDDLE: round(3.18 * GIB)}

# Pages of 16 KiB: 65,536 of them are a GiB. A Mac with the Finder, a browser and two editors: 7.3 GiB are theirs (3.4
# anonymous, 0.9 in the compressor, 3.0 wired by the system), and the GPU has 0.6 for its display.
AT_REST = Mac(
    """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                             2929230.
Pages active:                            412876.
Pages inactive:                          524288.
Pages speculative:                        19660.
Pages throttled:                              0.
Pages wired down:                        196608.
Pages purgeable:                           6553.
"Translation faults":                 918273645.
Pages copy-on-write:                   41230987.
Pages zero filled:                    501928374.
Pages reactivated:                       918273.
Pages purged:                            112233.
File-backed pages:                       727447.
Anonymous pages:                         229377.
Pages stored in compressor:              176947.
Pages occupied by compressor:             58982.
Decompressions:                          998877.
Compressions:                           1499887.
Pageins:                               10293847.
Pageouts:                                  4321.
Swapins:                                      0.
Swapouts:                                     0.
""",
    in_use=round(0.6 * GIB),
    footprints={},
    ours={},
)
# Both models have just answered: their files (27.45 GiB), contexts and work spaces (4.75) are wired; conversations and
# what the processes hold beside (3.70) are anonymous. Wired: 3.0 + 32.2 = 35.2 GiB, anonymous 3.4 + 3.7 = 7.1.
JUST_USED = Mac(
    """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                             576390.
Pages active:                            472064.
Pages inactive:                          720896.
Pages speculative:                         6553.
Pages throttled:                              0.
Pages wired down:                       2306867.
Pages purgeable:                           6553.
"Translation faults":                 928273645.
Pages copy-on-write:                   41230987.
Pages zero filled:                    511928374.
Pages reactivated:                       918273.
Pages purged:                            112233.
File-backed pages:                       727647.
Anonymous pages:                         471866.
Pages stored in compressor:              176947.
Pages occupied by compressor:             58982.
Decompressions:                          998877.
Compressions:                           1499887.
Pageins:                               12093847.
Pageouts:                                  4321.
Swapins:                                      0.
Swapouts:                                     0.
""",
    in_use=round((0.6 + 32.2) * GIB),
    footprints=FOOTPRINTS,
    ours=OURS,
)
# The same, ten minutes later: Metal has let go of all of it. The files are where files are, backed and pageable
# (727,647 + 27.45 GiB = 2,526,650 pages); contexts and work spaces are anonymous: 7.1 + 4.75 = 11.85 GiB.
IDLE = Mac(
    """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                             576390.
Pages active:                           1511290.
Pages inactive:                         1785396.
Pages speculative:                         6553.
Pages throttled:                              0.
Pages wired down:                        196608.
Pages purgeable:                           6553.
"Translation faults":                 929273645.
Pages copy-on-write:                   41230987.
Pages zero filled:                    511928374.
Pages reactivated:                       918273.
Pages purged:                            112233.
File-backed pages:                      2526590.
Anonymous pages:                         776649.
Pages stored in compressor:              176947.
Pages occupied by compressor:             58982.
Decompressions:                          998877.
Compressions:                           1499887.
Pageins:                               12093847.
Pageouts:                                  4321.
Swapins:                                      0.
Swapouts:                                     0.
""",
    in_use=round(0.6 * GIB),
    footprints=FOOTPRINTS,
    ours=OURS,
)
# Only the large one has just answered: 18.81 + 2.77 = 21.58 GiB of it are wired, the middle one's are not.
LARGE_USED = Mac(
    """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                             576390.
Pages active:                            811290.
Pages inactive:                         1071140.
Pages speculative:                         6553.
Pages throttled:                              0.
Pages wired down:                       1610875.
Pages purgeable:                           6553.
"Translation faults":                 929373645.
Pages copy-on-write:                   41230987.
Pages zero filled:                    511938374.
Pages reactivated:                       918273.
Pages purged:                            112233.
File-backed pages:                      1293593.
Anonymous pages:                         595390.
Pages stored in compressor:              176947.
Pages occupied by compressor:             58982.
Decompressions:                          998877.
Compressions:                           1499887.
Pageins:                               12093847.
Pageouts:                                  4321.
Swapins:                                      0.
Swapouts:                                     0.
""",
    in_use=round((0.6 + 21.58) * GIB),
    footprints=FOOTPRINTS,
    ours=OURS,
)
