"""What the tools of a Mac say, in the form they say it: a Mac Mini M4 Pro with 64 GB, and what differs on others.

No Mac was at hand: forms and names of fields are those of macOS 15, figures are plausible, and each sum is written down
where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping

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
