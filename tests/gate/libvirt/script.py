# SPDX-License-Identifier: Apache-2.0
"""More than two hundred calls of libvirt's API; each prints a line with what came of it.

Run as a program: the URI to connect to. The host has a running guest "run", one that is shut off, "off", and a storage
pool "pool".
"""

from __future__ import annotations

import re
import sys

import libvirt

#: What differs from one moment to the next: only that there is a result is told.
VOLATILE = """
info getCPUStats memoryStats getTime getInfo getFreeMemory getCellsFreeMemory vcpus jobStats
getAllDomainStats controlInfo getMemoryStats listDomainsID getSysinfo memoryPeek
"""
OF_DOMAINS = """
name UUIDString isActive isPersistent isUpdated hasManagedSaveImage autostart maxMemory OSType state
XMLDesc info schedulerType schedulerParameters memoryParameters numaParameters
maxVcpus vcpus vcpusFlags vcpuPinInfo emulatorPinInfo getCPUStats memoryStats blockStats blockInfo
interfaceStats interfaceAddresses securityLabel jobInfo jobStats abortJob controlInfo diskErrors
hostname fsInfo getTime guestInfo snapshotNum snapshotListNames snapshotCurrent listAllSnapshots
listAllCheckpoints metadata setMetadata setMemory setVcpus attachDevice detachDevice updateDeviceFlags
sendKey screenshot injectNMI openChannel blockPeek memoryPeek migrateSetMaxSpeed
suspend resume reset setAutostart rename blockResize blockJobInfo fSTrim setUserPassword
managedSaveRemove undefineFlags coreDump backupGetXMLDesc
"""
ARGUMENTS = {
    "vcpusFlags": (0,),
    "getCPUStats": (True,),
    "blockStats": ("vda",),
    "blockInfo": ("vda",),
    "interfaceStats": ("vnet99",),
    "interfaceAddresses": (0,),
    "metadata": (2, "urn:test:x"),
    "setMetadata": (2, "<a b='c'/>", "t", "urn:test:x"),
    "setMemory": (1 << 40,),
    "setVcpus": (99,),
    "attachDevice": ("<disk/>",),
    "detachDevice": ("<interface type='user'/>",),
    "updateDeviceFlags": ("nonsense", 0),
    "sendKey": (0, 0, [30], 1),
    "blockPeek": ("vda", 0, 512),
    "memoryPeek": (0, 8, 1),
    "migrateSetMaxSpeed": (10,),
    "setAutostart": (1,),
    "rename": ("run",),
    "blockResize": ("vda", 100),
    "blockJobInfo": ("vda",),
    "fSTrim": (None, 0),
    "setUserPassword": ("root", "x"),
    "undefineFlags": (1 << 30,),
    "coreDump": ("/nowhere/core",),
}
#: Calls with a stream come with these behind it.
BEHIND_STREAM = {"screenshot": (0,)}
OF_CONNECTIONS = """
getType getVersion getLibVersion getHostname getMaxVcpus getInfo getCapabilities
getFreeMemory getCellsFreeMemory isSecure isEncrypted isAlive listDomainsID listDefinedDomains
numOfDomains numOfDefinedDomains listAllDomains listNetworks listAllNetworks listStoragePools
listAllStoragePools listDefinedStoragePools listAllDevices listAllSecrets
listAllNWFilters getSysinfo getSecurityModel getCPUMap getMemoryStats getCPUStats getAllDomainStats
getDomainCapabilities getCPUModelNames nodeDeviceLookupByName networkLookupByName lookupByName
lookupByID lookupByUUIDString storagePoolLookupByName secretLookupByUUIDString nwfilterLookupByName
interfaceLookupByName defineXML createXML networkDefineXML networkCreateXML storagePoolDefineXML
secretDefineXML nwfilterDefineXML interfaceDefineXML nodeDeviceCreateXML compareCPU baselineCPU
domainXMLFromNative restore saveImageGetXMLDesc findStoragePoolSources setKeepAlive
"""
CONNECTION_ARGUMENTS = {
    "getMaxVcpus": ("kvm",),
    "getCellsFreeMemory": (0, 1),
    "getMemoryStats": (-1,),
    "getCPUStats": (-1,),
    "getCPUModelNames": ("x86_64",),
    "lookupByID": (4711,),
    "lookupByUUIDString": ("3f2c1d3e-0000-4000-8000-00000000eeee",),
    "secretLookupByUUIDString": ("3f2c1d3e-0000-4000-8000-00000000eeee",),
    "createXML": ("<domain type='none'/>",),
    "nodeDeviceCreateXML": ("<device/>",),
    "compareCPU": ("<cpu/>",),
    "baselineCPU": (["<cpu/>"],),
    "domainXMLFromNative": ("qemu-argv", "nonsense"),
    "restore": ("/nowhere",),
    "saveImageGetXMLDesc": ("/nowhere",),
    "findStoragePoolSources": ("dir", None),
    "setKeepAlive": (5, 3),
}
GONE = """
<domain type='qemu'><name>gone</name><uuid>3f2c1d3e-0000-4000-8000-00000000000c</uuid>
<memory>65536</memory><os><type>hvm</type></os></domain>
"""
_CHANGING = re.compile(r"0x[0-9a-f]+|domain-\d+|id='\d+'|/dev/pts/\d+|pid=\d+")


def tell(what: str, call: object, *arguments: object) -> None:
    """Make a call and print what came of it."""
    try:
        result = call(*arguments)  # type: ignore[operator]
    except libvirt.libvirtError as error:
        print(f"{what}: {error.get_error_code()} {error.get_error_domain()} {_plain(error)}")
    else:
        known = what.rpartition(".")[2] not in VOLATILE.split()
        print(f"{what} = {_plain(result) if known else type(result).__name__}")


def _plain(result: object) -> str:
    if isinstance(result, list):
        return "[" + ", ".join(sorted(_plain(one) for one in result)) + "]"
    if hasattr(result, "name") and callable(result.name):
        return f"{type(result).__name__} {result.name()}"
    return repr(_CHANGING.sub("X", str(result)))


def _about_connection(connection: libvirt.virConnect) -> None:
    for name in OF_CONNECTIONS.split():
        asks = re.search("XML$|LookupByName$|lookupByName", name)
        arguments = CONNECTION_ARGUMENTS.get(name, ("nonsense",) if asks else ())
        tell(f"connection.{name}", getattr(connection, name), *arguments)


def _about_domain(connection: libvirt.virConnect, domain: libvirt.virDomain, guest: str) -> None:
    for name in OF_DOMAINS.split():
        arguments = ARGUMENTS.get(name, ())
        if name == "openChannel":
            arguments = ("x", connection.newStream(), 0)
        elif name in BEHIND_STREAM:
            arguments = (connection.newStream(), *BEHIND_STREAM[name])
        tell(f"{guest}.{name}", getattr(domain, name), *arguments)


def _about_pool(connection: libvirt.virConnect) -> None:
    pool = connection.storagePoolLookupByName("pool")
    tell("pool.create", pool.create)
    for number in (1, 1, 2):
        xml = f"<volume><name>v{number}</name><capacity>1024</capacity></volume>"
        tell(f"pool.createXML {number}", pool.createXML, xml)
    tell("pool.listVolumes", pool.listVolumes)
    for name in ("v1", "v2", "v3"):
        tell(f"pool.lookup {name}", pool.storageVolLookupByName, name)
    for name in ("v1", "v2"):
        tell(f"pool.delete {name}", pool.storageVolLookupByName(name).delete)
    tell("pool.destroy", pool.destroy)


def main(uri: str) -> None:
    """Make all calls."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    connection = libvirt.open(uri)
    _about_connection(connection)
    gone = connection.defineXML(GONE)
    gone.undefine()
    for guest in ("run", "off"):
        _about_domain(connection, connection.lookupByName(guest), guest)
    _about_domain(connection, gone, "gone")
    _about_pool(connection)
    tell("connection.close", connection.close)


if __name__ == "__main__":
    main(sys.argv[1])
