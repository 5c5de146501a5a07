; The wizard: windows around ss-setup, which does all the work. What it is given by
; wizard.go: VERSION, FILEVERSION, OUT, ART (icon and bitmaps), LICENSETEXT, COMPRESSOR, BUNDLE,
; HELPER and SPACE (mebibytes that unpacking needs).
;
; The standard 32-bit stub does nothing, and says so to nobody, where there is no 32-bit half.
Target amd64-unicode

!include MUI2.nsh
!include LogicLib.nsh
!include nsDialogs.nsh
!include FileFunc.nsh
!include WordFunc.nsh
!include WinMessages.nsh

!define PRODUCT "SS Server"
; Exit codes of ss-setup: docs/exit-codes.md.
!define EXIT_CANCELLED 1602
!define EXIT_FAILED 1603
!define EXIT_USAGE 1639
!define EXIT_CHECK 15613
!define EXIT_ADMIN 740

Name "${PRODUCT} ${VERSION}"
Caption "${PRODUCT} ${VERSION} Setup"
OutFile "${OUT}"
BrandingText "${PRODUCT} ${VERSION}"
SetFont "Segoe UI" 9

RequestExecutionLevel admin
ManifestSupportedOS all
ManifestDPIAware true
ManifestLongPathAware true

; The same input gives the same bytes: no times of files.
SetDateSave off
SetCompressor ${COMPRESSOR}
CRCCheck force
AllowSkipFiles off
ShowInstDetails hide
AutoCloseWindow true

VIProductVersion "${FILEVERSION}"
VIFileVersion "${FILEVERSION}"
VIAddVersionKey ProductName "${PRODUCT}"
VIAddVersionKey ProductVersion "${VERSION}"
VIAddVersionKey FileVersion "${VERSION}"
VIAddVersionKey FileDescription "${PRODUCT} Setup"
VIAddVersionKey CompanyName "${PRODUCT}"
VIAddVersionKey LegalCopyright "Apache License 2.0"
VIAddVersionKey OriginalFilename "ss-server-${VERSION}-windows-amd64-setup.exe"

Var Work        ; the folder that the package is unpacked to
Var Hold        ; a file in it that is kept open while this runs
Var Exit        ; what this ends with
Var Action      ; fresh, adopt, update, rebuild, same, refused or interrupted
Var Previous    ; the version that is installed
Var Verb        ; what ss-setup is asked to do
Var Confirmed   ; --yes, once its questions have been answered
Var Running     ; 1 while ss-setup changes the machine
Var Ended       ; 1 when it is over
Var Line
Var WelcomeTitle
Var WelcomeText
Var RunTitle
Var RunText

Var Standalone
Var Client
Var Server
Var WebPort
Var LicensePort
Var Firewall
Var Repair
Var Remove
Var Purge
Var Url
Var Code
Var Details
Var CodeFont

!define MUI_ICON "${ART}/wizard.ico"
!define MUI_HEADERIMAGE
!define MUI_HEADERIMAGE_RIGHT
!define MUI_HEADERIMAGE_BITMAP "${ART}/header.bmp"
!define MUI_HEADERIMAGE_BITMAP_STRETCH AspectFitHeight
!define MUI_WELCOMEFINISHPAGE_BITMAP "${ART}/side.bmp"
!define MUI_CUSTOMFUNCTION_GUIINIT guiInit
!define MUI_CUSTOMFUNCTION_ABORT userAbort

!define MUI_PAGE_CUSTOMFUNCTION_PRE skipWhenRefused
!define MUI_WELCOMEPAGE_TITLE "$WelcomeTitle"
!define MUI_WELCOMEPAGE_TEXT "$WelcomeText"
!insertmacro MUI_PAGE_WELCOME

!define MUI_PAGE_CUSTOMFUNCTION_PRE skipLicenseText
!define MUI_PAGE_CUSTOMFUNCTION_LEAVE confirmQuestions
!define MUI_LICENSEPAGE_TEXT_TOP "Press Page Down to see the rest."
!define MUI_LICENSEPAGE_TEXT_BOTTOM "If you accept these terms, click I Agree to continue."
!insertmacro MUI_PAGE_LICENSE "${LICENSETEXT}"

Page custom maintenancePage maintenanceLeave
Page custom licensingPage licensingLeave
Page custom placesPage placesLeave

!define MUI_PAGE_CUSTOMFUNCTION_PRE skipWhenRefused
!define MUI_PAGE_CUSTOMFUNCTION_SHOW runShow
!define MUI_PAGE_HEADER_TEXT "$RunTitle"
!define MUI_PAGE_HEADER_SUBTEXT "$RunText"
!insertmacro MUI_PAGE_INSTFILES

Page custom endPage

!insertmacro MUI_LANGUAGE English

; Answer reads what the wizard was told by name.
!macro Answer VARIABLE NAME
  ReadINIStr ${VARIABLE} "$Work\answer.ini" answer ${NAME}
!macroend
!define Answer "!insertmacro Answer"

; Environment sets what ss-setup takes for a flag that was not given.
!macro Environment NAME VALUE
  System::Call 'kernel32::SetEnvironmentVariable(t "SS_SETUP_${NAME}", t "${VALUE}")'
!macroend
!define Environment "!insertmacro Environment"

!macro NoEnvironment NAME
  System::Call 'kernel32::SetEnvironmentVariable(t "SS_SETUP_${NAME}", p 0)'
!macroend
!define NoEnvironment "!insertmacro NoEnvironment"

; ---- before the first page -------------------------------------------------------------

Function .onInit
  StrCpy $Exit 0
  Call checkArguments
  ${IfNot} ${Silent}
    Banner::show /NOUNLOAD "Looking what is installed..."
  ${EndIf}
  Call unpack
  ; Messages name this program where they would name a command with the package.
  ${Environment} FRONT_END "$EXEPATH"
  ${If} ${Silent}
    Return
  ${EndIf}
  Call look
  Banner::destroy
  ${If} $Action == interrupted
    Call recover
  ${EndIf}
  Call words
FunctionEnd

; A word that nobody knows must not be passed over: it may have been meant well.
Function checkArguments
  ${GetParameters} $0
  ${Do}
    Call trim
    ${If} $0 == ""
      Return
    ${EndIf}
    StrCpy $1 $0 2
    StrCpy $2 $0 5
    ${If} $1 == "/S"
      StrCpy $0 $0 "" 2
    ${ElseIf} $2 == "/NCRC"
      StrCpy $0 $0 "" 5
    ${Else}
      ${ExitDo}
    ${EndIf}
  ${Loop}
  ; Whoever misspells /S waits for no window either.
  SetErrorLevel ${EXIT_USAGE}
  MessageBox MB_ICONEXCLAMATION "This setup takes one option, /S: it asks nothing and shows nothing.$\n$\nUnknown: $0$\n$\nSettings are taken from the environment, such as SS_SETUP_WEB_PORT or SS_SETUP_ANSWERS." /SD IDOK
  Quit
FunctionEnd

; trim takes the blanks around $0 away.
Function trim
  ${Do}
    StrCpy $1 $0 1
    ${If} $1 != " "
      ${ExitDo}
    ${EndIf}
    StrCpy $0 $0 "" 1
  ${Loop}
  ${Do}
    StrCpy $1 $0 1 -1
    ${If} $1 != " "
      ${ExitDo}
    ${EndIf}
    StrCpy $0 $0 -1
  ${Loop}
FunctionEnd

; The package is unpacked where only administrators write: what is run from there runs
; with all their rights.
Function unpack
  StrCpy $9 "$PROGRAMFILES64\${PRODUCT} Setup"
  CreateDirectory "$9"
  Call removeLeftovers
  ${DriveSpace} "$9" "/D=F /S=M" $0
  ${If} $0 < ${SPACE}
    StrCpy $1 "There is too little room on the disk of $9: ${SPACE} MiB are needed. Make room and start this setup again."
    Goto failed
  ${EndIf}
  ClearErrors
  GetTempFileName $Work "$9"
  Delete "$Work"
  CreateDirectory "$Work"
  FileOpen $Hold "$Work\hold" w
  SetOverwrite try
  SetOutPath "$Work"
  File "${HELPER}"
  File "${BUNDLE}/ss-setup.exe"
  File "${BUNDLE}/manifest.json"
  File /r "${BUNDLE}/metadata"
  SetCompress off ; it is packed already
  File "${BUNDLE}/payload.tar.zst"
  SetCompress auto
  ${IfNot} ${Errors}
    Return
  ${EndIf}
  StrCpy $1 "The package cannot be unpacked to $9. Look whether the disk is full or a virus scanner keeps it locked, then start this setup again."
failed:
  Call removeWork
  StrCpy $Exit ${EXIT_CHECK}
  UserInfo::GetAccountType
  Pop $0
  ${If} $0 != "Admin"
    StrCpy $Exit ${EXIT_ADMIN}
    StrCpy $1 "Only an Administrator may install ${PRODUCT}. Start this setup with Run as administrator."
  ${EndIf}
  SetErrorLevel $Exit
  MessageBox MB_ICONSTOP "$1$\n$\nNothing was changed." /SD IDOK
  Quit
FunctionEnd

; What another run of this left when it was killed goes; one that still runs holds its file.
Function removeLeftovers
  FindFirst $0 $1 "$9\*.tmp"
  ${DoUntil} $1 == ""
    Delete "$9\$1\hold"
    ${IfNot} ${FileExists} "$9\$1\hold"
      RMDir /r "$9\$1"
    ${EndIf}
    FindNext $0 $1
  ${Loop}
  FindClose $0
FunctionEnd

Function removeWork
  SetOutPath "$TEMP"
  FileClose $Hold
  ${If} $Work != ""
    RMDir /r "$Work"
  ${EndIf}
  RMDir "$PROGRAMFILES64\${PRODUCT} Setup"
FunctionEnd

; ask runs ss-setup with the words in $0 and waits; $0 becomes its exit code.
Function ask
  nsExec::Exec '"$Work\ss-wizard.exe" --answer "$Work\answer.ini" --text "$Work\answer.txt" "$Work\ss-setup.exe" $0'
  Pop $0
FunctionEnd

; look asks ss-setup what it would do here.
Function look
  StrCpy $0 "install --plan --silent"
  Call ask
  StrCpy $Exit $0
  ${Answer} $Action action
  ${Answer} $Previous previous
  ${If} $Action == ""
    StrCpy $Action refused
  ${EndIf}
FunctionEnd

Function recover
  MessageBox MB_YESNO|MB_ICONQUESTION "An earlier run of ss-setup was interrupted.$\n$\nFinish or undo it now?" IDYES now
  StrCpy $Action refused
  Return
now:
  StrCpy $0 "recover"
  Call ask
  ${If} $0 = 0
    Call look
  ${Else}
    StrCpy $Exit $0
    StrCpy $Action refused
  ${EndIf}
FunctionEnd

; words chooses what the pages say.
Function words
  StrCpy $Verb install
  StrCpy $RunTitle "Installing"
  StrCpy $RunText "If anything fails, everything is put back."
  StrCpy $WelcomeTitle "Welcome to ${PRODUCT} ${VERSION}"
  ${Select} $Action
  ${Case} adopt
    StrCpy $WelcomeText "This installs ${PRODUCT} with the data and settings that were kept on this machine."
  ${Case2} update rebuild
    StrCpy $RunTitle "Updating"
    StrCpy $RunText "The old version serves until the new one is ready. If anything fails, it serves again."
    StrCpy $WelcomeTitle "Update ${PRODUCT} $Previous to ${VERSION}"
    ${If} $Action == rebuild
      StrCpy $WelcomeTitle "Update ${PRODUCT} ${VERSION} to another build"
    ${EndIf}
    StrCpy $WelcomeText "${PRODUCT} $Previous is installed on this machine. All data and settings stay.$\r$\n$\r$\nThe data are copied first, while the old version serves. Users wait for some seconds only, while the new version takes over."
  ${Case} same
    StrCpy $WelcomeTitle "${PRODUCT} ${VERSION} is installed"
    StrCpy $WelcomeText "This very version is installed on this machine. This setup can repair it or remove it."
  ${CaseElse}
    StrCpy $WelcomeText "This installs ${PRODUCT}, a secure file transfer server, and its license daemon on this machine."
  ${EndSelect}
  StrCpy $WelcomeText "$WelcomeText$\r$\n$\r$\nNothing is changed before the last question is answered. If anything fails, everything is put back as it was.$\r$\n$\r$\nClick Next to continue."
FunctionEnd

Function guiInit
  BringToFront
FunctionEnd

; ---- pages -----------------------------------------------------------------------------

Function skipWhenRefused
  ${If} $Action == refused
    Abort
  ${EndIf}
FunctionEnd

Function skipLicenseText
  ${If} $Action == refused
  ${OrIf} $Action == same
    Abort
  ${EndIf}
FunctionEnd

; confirmQuestions asks what ss-setup would ask a person at a terminal.
Function confirmQuestions
  ${Answer} $1 questions
  ${If} $1 == ""
    Return
  ${EndIf}
  ${WordReplace} "$1" "\n" "$\n" "+" $1
  MessageBox MB_YESNO|MB_ICONQUESTION "$1" IDYES yes
  Abort
yes:
  StrCpy $Confirmed " --yes"
FunctionEnd

; button writes on the button that leads on.
!macro Button TEXT
  GetDlgItem $0 $HWNDPARENT 1
  SendMessage $0 ${WM_SETTEXT} 0 "STR:${TEXT}"
!macroend
!define Button "!insertmacro Button"

Function maintenancePage
  ${If} $Action != same
    Abort
  ${EndIf}
  !insertmacro MUI_HEADER_TEXT "Repair or remove" "${PRODUCT} ${VERSION} is installed on this machine."
  nsDialogs::Create 1018
  Pop $0
  ${NSD_CreateRadioButton} 0 4u 100% 12u "&Repair"
  Pop $Repair
  ${NSD_AddStyle} $Repair ${WS_GROUP}
  ${NSD_OnClick} $Repair maintenanceChosen
  ${NSD_CreateLabel} 14u 17u 280u 18u "Puts right every file, account, service and setting that is not as it was installed. Data stay."
  Pop $0
  ${NSD_CreateRadioButton} 0 44u 100% 12u "Re&move"
  Pop $Remove
  ${NSD_OnClick} $Remove maintenanceChosen
  ${NSD_CreateLabel} 14u 57u 280u 18u "Removes programs and services. Data and settings stay; the next install takes them over."
  Pop $0
  ${NSD_CreateCheckBox} 14u 78u 280u 12u "Remove the &data and settings as well"
  Pop $Purge
  ${NSD_CreateLabel} 26u 91u 268u 18u "Users, keys, settings and logs are deleted for good. What users stored stays."
  Pop $0
  ${If} $Verb == install
  ${OrIf} $Verb == "install --repair"
    ${NSD_Check} $Repair
  ${Else}
    ${NSD_Check} $Remove
  ${EndIf}
  ${If} $Verb == "uninstall --purge --yes"
    ${NSD_Check} $Purge
  ${EndIf}
  Call maintenanceShown
  nsDialogs::Show
FunctionEnd

Function maintenanceChosen
  Pop $0
  Call maintenanceShown
FunctionEnd

Function maintenanceShown
  ${NSD_GetState} $Remove $1
  EnableWindow $Purge $1
  ${If} $1 = ${BST_CHECKED}
    ${Button} "Re&move"
  ${Else}
    ${Button} "&Repair"
  ${EndIf}
FunctionEnd

Function maintenanceLeave
  StrCpy $Verb "install --repair"
  StrCpy $RunTitle "Repairing"
  ${NSD_GetState} $Remove $1
  ${If} $1 <> ${BST_CHECKED}
    Return
  ${EndIf}
  StrCpy $RunTitle "Removing"
  StrCpy $Verb "uninstall"
  ${NSD_GetState} $Purge $1
  ${If} $1 = ${BST_CHECKED}
    MessageBox MB_YESNO|MB_ICONEXCLAMATION|MB_DEFBUTTON2 "Remove ${PRODUCT} and all its data?$\n$\nUsers, keys, settings, logs and receipts are deleted for good. What users stored stays." IDYES sure
    Abort
sure:
    StrCpy $Verb "uninstall --purge --yes"
  ${EndIf}
FunctionEnd

; Questions about settings are for a first install: settings that are there stay.
Function licensingPage
  ${If} $Action != fresh
    Abort
  ${EndIf}
  !insertmacro MUI_HEADER_TEXT "Licenses" "Where does this machine get its licenses from?"
  nsDialogs::Create 1018
  Pop $0
  ${NSD_CreateRadioButton} 0 2u 100% 12u "&Standalone"
  Pop $1
  ${NSD_AddStyle} $1 ${WS_GROUP}
  ${NSD_OnClick} $1 licensingChosen
  ${NSD_CreateLabel} 14u 15u 280u 10u "Licenses are activated on this machine, for this machine."
  Pop $0
  ${NSD_CreateRadioButton} 0 32u 100% 12u "Network &client"
  Pop $2
  ${NSD_OnClick} $2 licensingChosen
  ${NSD_CreateLabel} 14u 45u 280u 10u "Licenses come from a license server on your network."
  Pop $0
  ${NSD_CreateLabel} 14u 61u 62u 10u "License ser&ver:"
  Pop $3
  ${NSD_CreateText} 78u 59u 150u 13u "$Server"
  Pop $4
  ${NSD_CreateLabel} 78u 75u 216u 10u "NAME or NAME:PORT; it need not answer yet."
  Pop $0
  ${NSD_CreateRadioButton} 0 93u 100% 12u "Network server"
  Pop $5
  EnableWindow $5 0
  ${NSD_CreateLabel} 14u 106u 280u 10u "This machine gives licenses to others. Comes with licensing in a later version."
  Pop $0
  EnableWindow $0 0
  ${If} $Client = 1
    ${NSD_Check} $2
  ${Else}
    ${NSD_Check} $1
  ${EndIf}
  StrCpy $Standalone $1
  StrCpy $Details $2
  StrCpy $Code $3
  StrCpy $Url $4
  Call licensingShown
  nsDialogs::Show
FunctionEnd

Function licensingChosen
  Pop $0
  Call licensingShown
  ${If} $Client = 1
    ${NSD_SetFocus} $Url
  ${EndIf}
FunctionEnd

; The field is for a client alone.
Function licensingShown
  ${NSD_GetState} $Details $Client
  EnableWindow $Url $Client
  EnableWindow $Code $Client
FunctionEnd

Function licensingLeave
  ${NSD_GetText} $Url $0
  Call trim
  StrCpy $Server $0
  Call setLicensing
  ${If} $Client = 1
  ${AndIf} $Server == ""
    MessageBox MB_ICONEXCLAMATION "Type the name of the license server."
    Abort
  ${EndIf}
  StrCpy $0 "install --plan --silent"
  Call ask
  Call stayOnRefusal
FunctionEnd

; What was chosen is handed over as an answer file would: no letter of it is taken for
; anything else. The standard is not handed over at all.
Function setLicensing
  ${If} $Client = 1
    ${Environment} LICENSE_MODE client
    ${Environment} LICENSE_SERVER "$Server"
  ${Else}
    ${NoEnvironment} LICENSE_MODE
    ${NoEnvironment} LICENSE_SERVER
  ${EndIf}
FunctionEnd

; stayOnRefusal shows why ss-setup would not take what was typed.
Function stayOnRefusal
  ${If} $0 = 0
    Return
  ${EndIf}
  ${Answer} $1 message
  ${Answer} $2 cure
  ${WordReplace} "$1" "\n" "$\n" "+" $1
  ${If} $2 != ""
    ${WordReplace} "$2" "\n" "$\n" "+" $2
    StrCpy $1 "$1$\n$\n$2"
  ${EndIf}
  MessageBox MB_ICONEXCLAMATION "$1"
  Abort
FunctionEnd

Function placesPage
  ${If} $Action != fresh
    Abort
  ${EndIf}
  !insertmacro MUI_HEADER_TEXT "Ports and folders" "Where is ${PRODUCT} reached, and where does it lie?"
  nsDialogs::Create 1018
  Pop $0
  ${If} $WebPort == ""
    Call standardPorts
  ${EndIf}
  ${NSD_CreateLabel} 0 4u 96u 10u "Port of the &web interface:"
  Pop $0
  ${NSD_CreateNumber} 100u 2u 40u 13u "$WebPort"
  Pop $1
  ${NSD_SetTextLimit} $1 5
  ${NSD_CreateLabel} 0 21u 96u 10u "Port of the &license daemon:"
  Pop $0
  ${NSD_CreateNumber} 100u 19u 40u 13u "$LicensePort"
  Pop $2
  ${NSD_SetTextLimit} $2 5
  ${NSD_CreateCheckBox} 0 38u 100% 12u "&Open the web port in the firewall of this machine"
  Pop $3
  ${If} $Firewall = ${BST_CHECKED}
    ${NSD_Check} $3
  ${EndIf}
  ${NSD_CreateHLine} 0 57u 100% 1u ""
  Pop $0
  SetShellVarContext all ; which makes APPDATA that of all users
  ${NSD_CreateLabel} 0 66u 96u 10u "Programs:"
  Pop $0
  ${NSD_CreateLabel} 100u 66u 194u 10u "$PROGRAMFILES64\${PRODUCT}"
  Pop $0
  ${NSD_CreateLabel} 0 80u 96u 10u "Data, settings and logs:"
  Pop $0
  ${NSD_CreateLabel} 100u 80u 194u 10u "$APPDATA\${PRODUCT}"
  Pop $0
  ${NSD_CreateLabel} 0 98u 100% 20u "Folders for files of users can lie on any disk: they are chosen later, in the web interface."
  Pop $0
  StrCpy $Url $1
  StrCpy $Code $2
  StrCpy $Details $3
  ${Button} "&Install"
  nsDialogs::Show
FunctionEnd

Function standardPorts
  ReadEnvStr $WebPort SS_SETUP_WEB_PORT
  ReadEnvStr $LicensePort SS_SETUP_LICENSE_PORT
  ${If} $WebPort == ""
    StrCpy $WebPort 6443
  ${EndIf}
  ${If} $LicensePort == ""
    StrCpy $LicensePort 2380
  ${EndIf}
FunctionEnd

Function placesLeave
  ${NSD_GetText} $Url $WebPort
  ${NSD_GetText} $Code $LicensePort
  ${NSD_GetState} $Details $Firewall
  ${NoEnvironment} WEB_PORT
  ${NoEnvironment} LICENSE_PORT
  ${NoEnvironment} OPEN_FIREWALL
  ${If} $WebPort != 6443
    ${Environment} WEB_PORT "$WebPort"
  ${EndIf}
  ${If} $LicensePort != 2380
    ${Environment} LICENSE_PORT "$LicensePort"
  ${EndIf}
  ${If} $Firewall = ${BST_CHECKED}
    ${Environment} OPEN_FIREWALL true
  ${EndIf}
  ${If} $WebPort == ""
  ${OrIf} $LicensePort == ""
    MessageBox MB_ICONEXCLAMATION "Type both ports: numbers from 1 to 65535."
    Abort
  ${EndIf}
  ; The checks before a run, while there is something to correct.
  StrCpy $0 "install --preflight-only --silent"
  Call ask
  Call stayOnRefusal
FunctionEnd

; ---- the run ---------------------------------------------------------------------------

Function runShow
  SendMessage $mui.InstFilesPage.Text ${WM_SETTEXT} 0 "STR:Look what is to be done"
  GetDlgItem $0 $HWNDPARENT 2
  EnableWindow $0 1
FunctionEnd

; One instruction alone: NSIS moves its bar after each, and the bar is ss-setup's.
Section
  Call run
SectionEnd

Function run
  ${If} ${Silent}
    nsExec::Exec '"$Work\ss-setup.exe" install --silent'
  ${Else}
    StrCpy $Running 1
    nsExec::ExecToLog '"$Work\ss-wizard.exe" --answer "$Work\answer.ini" --text "$Work\answer.txt" --bar $mui.InstFilesPage.ProgressBar --step $mui.InstFilesPage.Text --cancel "$Work\cancel" "$Work\ss-setup.exe" $Verb --silent$Confirmed'
  ${EndIf}
  Pop $Exit
  StrCpy $Running 0
  ${If} $Exit == "error"
    StrCpy $Exit ${EXIT_FAILED}
  ${EndIf}
  SetErrorLevel $Exit
  ${If} ${Silent}
    Call removeWork
  ${EndIf}
FunctionEnd

Function userAbort
  ${If} $Ended = 1
    Return
  ${EndIf}
  ${If} $Running = 1
    MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "Stop, and put everything back as it was?" IDNO on
    GetDlgItem $0 $HWNDPARENT 2
    EnableWindow $0 0
    FileOpen $0 "$Work\cancel" w
    FileClose $0
on:
    Abort
  ${EndIf}
  MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "Leave this setup? Nothing has been changed." IDYES leave
  Abort
leave:
  SetErrorLevel ${EXIT_CANCELLED}
FunctionEnd

Function .onGUIEnd
  Call removeWork
FunctionEnd

; ---- the end ---------------------------------------------------------------------------

Function endPage
  StrCpy $Ended 1
  SetErrorLevel $Exit
  Call endTitle
  nsDialogs::Create 1018
  Pop $0
  ${Answer} $6 url
  ${Answer} $7 code
  ${Answer} $8 log
  StrCpy $9 0 ; the next free line, in dialog units
  ${If} $6 != ""
    Call endAddress
  ${EndIf}
  ${If} $7 != ""
    Call endCode
  ${EndIf}
  Call endLicensing
  Call endDetails
  GetDlgItem $0 $HWNDPARENT 3
  ShowWindow $0 ${SW_HIDE}
  GetDlgItem $0 $HWNDPARENT 2
  ShowWindow $0 ${SW_HIDE}
  ${Button} "&Finish"
  nsDialogs::Show
FunctionEnd

Function endTitle
  ${Answer} $1 outcome
  ${If} $Exit = 3010
    !insertmacro MUI_HEADER_TEXT "Restart the machine to finish" "All else is done."
  ${ElseIf} $Exit = 0
    ${If} $Verb == "install --repair"
      !insertmacro MUI_HEADER_TEXT "${PRODUCT} ${VERSION} is repaired" "It serves."
    ${ElseIf} $Verb == install
      !insertmacro MUI_HEADER_TEXT "${PRODUCT} ${VERSION} is installed" "It serves."
    ${Else}
      !insertmacro MUI_HEADER_TEXT "${PRODUCT} is removed" "Its programs and services are gone."
    ${EndIf}
  ${ElseIf} $1 == rolled_back
    ${If} $Previous == ""
      !insertmacro MUI_HEADER_TEXT "${PRODUCT} was not installed" "Everything was put back as it was."
    ${Else}
      !insertmacro MUI_HEADER_TEXT "Everything was put back" "${PRODUCT} $Previous serves as before."
    ${EndIf}
  ${ElseIf} $1 == refused
    !insertmacro MUI_HEADER_TEXT "Nothing was changed" "Read below why, and what to do."
  ${Else}
    !insertmacro MUI_HEADER_TEXT "The machine was left changed" "Read below what is open, and what to do."
  ${EndIf}
FunctionEnd

Function endAddress
  ${If} $7 != ""
    ${NSD_CreateLabel} 0 $9u 100% 10u "Set it up in a browser on this machine:"
  ${Else}
    ${NSD_CreateLabel} 0 $9u 100% 10u "Web interface:"
  ${EndIf}
  Pop $0
  IntOp $9 $9 + 10
  ${NSD_CreateText} 0 $9u 204u 13u "$6"
  Pop $Url
  SendMessage $Url ${EM_SETREADONLY} 1 0
  ${NSD_CreateButton} 208u $9u 42u 13u "&Copy"
  Pop $0
  ${NSD_OnClick} $0 copyAddress
  ${NSD_CreateButton} 254u $9u 42u 13u "&Open"
  Pop $0
  ${NSD_OnClick} $0 openAddress
  IntOp $9 $9 + 18
FunctionEnd

Function endCode
  ${Answer} $1 expires
  ${NSD_CreateLabel} 0 $9u 100% 10u "Setup code, valid until $1:"
  Pop $0
  IntOp $9 $9 + 10
  ${NSD_CreateText} 0 $9u 204u 17u "$7"
  Pop $Code
  SendMessage $Code ${EM_SETREADONLY} 1 0
  CreateFont $CodeFont "Consolas" 13 600
  SendMessage $Code ${WM_SETFONT} $CodeFont 1
  ${NSD_CreateButton} 208u $9u 42u 17u "Co&py"
  Pop $0
  ${NSD_OnClick} $0 copyCode
  IntOp $9 $9 + 21
FunctionEnd

Function endLicensing
  ${Answer} $1 license_server
  ${Answer} $2 license_state
  ${If} $1 == ""
    Return
  ${EndIf}
  ${NSD_CreateLabel} 0 $9u 100% 10u "License server $1: $2"
  Pop $0
  IntOp $9 $9 + 13
FunctionEnd

; All that there is to say, in a field that it can be copied from.
Function endDetails
  IntOp $1 122 - $9
  nsDialogs::CreateControl EDIT ${DEFAULT_STYLES}|${WS_VSCROLL}|${WS_TABSTOP}|${ES_MULTILINE}|${ES_READONLY}|${ES_WANTRETURN} ${WS_EX_CLIENTEDGE} 0 $9u 100% $1u ""
  Pop $Details
  SendMessage $Details ${EM_SETLIMITTEXT} 0 0
  FileOpen $2 "$Work\answer.txt" r
  ${Do}
    ClearErrors
    FileReadUTF16LE $2 $Line
    ${If} ${Errors}
      ${ExitDo}
    ${EndIf}
    SendMessage $Details ${EM_REPLACESEL} 0 "STR:$Line"
  ${Loop}
  FileClose $2
  SendMessage $Details ${EM_SETSEL} 0 0
  SendMessage $Details ${EM_SCROLLCARET} 0 0
  ${NSD_CreateButton} 0 126u 60u 13u "Copy &all"
  Pop $0
  ${NSD_OnClick} $0 copyDetails
  ${If} $8 != ""
    ${NSD_CreateButton} 64u 126u 60u 13u "Open the &log"
    Pop $0
    ${NSD_OnClick} $0 openLog
  ${EndIf}
FunctionEnd

; copy puts all that a field shows on the clipboard.
!macro Copy FIELD
  Pop $0
  SendMessage ${FIELD} ${EM_SETSEL} 0 -1
  SendMessage ${FIELD} ${WM_COPY} 0 0
  ${NSD_SetFocus} ${FIELD}
!macroend

Function copyAddress
  !insertmacro Copy $Url
FunctionEnd

Function copyCode
  !insertmacro Copy $Code
FunctionEnd

Function copyDetails
  !insertmacro Copy $Details
FunctionEnd

Function openAddress
  Pop $0
  ${Answer} $0 url
  ExecShell open "$0"
FunctionEnd

Function openLog
  Pop $0
  ${Answer} $0 log
  Exec '"$WINDIR\system32\notepad.exe" "$0"'
FunctionEnd
