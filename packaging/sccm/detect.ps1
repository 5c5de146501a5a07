# Detection rule of Configuration Manager and Intune for SS Server.
#
# Prints the version and ends with 0 when at least $Minimum is installed; prints
# nothing and ends with 0 when it is not. Set $Minimum for each release.
#
# The client may run this in a 32-bit PowerShell, whose registry provider shows
# another tree; so the 64-bit view is opened by name.

$Minimum = [version]'7.0.0'

$base = [Microsoft.Win32.RegistryKey]::OpenBaseKey(
    [Microsoft.Win32.RegistryHive]::LocalMachine,
    [Microsoft.Win32.RegistryView]::Registry64)
$key = $base.OpenSubKey('SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\SS Server')
if ($null -ne $key) {
    # A beta, such as 7.1.0-beta.1, counts as the version before the hyphen.
    $text = ([string]$key.GetValue('DisplayVersion')).Split('-')[0]
    $found = $null
    if ([version]::TryParse($text, [ref]$found) -and ($found -ge $Minimum)) {
        [Console]::Out.WriteLine("SS Server $text")
    }
    $key.Close()
}
$base.Close()
exit 0
